"""A batch of noise with labels, in the form that a pipeline gives, for what has to run without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Batch = dict[str, list[Any]]


def made_up_batch(cfg: Any, model: nn.Module, size: tuple[int, int], batch: int, objects: int = 0) -> Batch:
    """Images of noise, the same at each call, as they come from a pipeline: on the CPU, not yet normalised.

    Args:
        cfg: The config of the model.
        model: A detector of mmdet or a segmentor of mmseg.
        size: Height and width of the images.
        batch: How many there are.
        objects: How many objects or segments an image has, as labels for training; without, there are no labels.

    Returns:
        'inputs' and 'data_samples', as `test_step` and `train_step` take them.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (channels_of(model), *size)
    images = [torch.randint(256, shape, dtype=torch.uint8, generator=generator) for _ in range(batch)]
    sample = _segmented if cfg.default_scope == 'mmseg' else _detected
    samples = [sample(cfg, model, size, objects) for _ in range(batch)]
    for number, each in enumerate(samples):
        meta = {'img_shape': size, 'ori_shape': size, 'pad_shape': size, 'scale_factor': (1.0, 1.0), 'flip': False}
        each.set_metainfo({**meta, 'img_id': number, 'img_path': f'noise {number}'})
    return {'inputs': images, 'data_samples': samples}


def channels_of(model: nn.Module) -> int:
    """Channels of an image, by the statistics with which the model normalises; 3 where it does not say."""
    mean = getattr(getattr(model, 'data_preprocessor', None), 'mean', None)
    return len(mean) if isinstance(mean, Tensor) else 3


def _segmented(cfg: Any, model: nn.Module, size: tuple[int, int], objects: int) -> Any:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample()
    head = getattr(model, 'decode_head', None)  # what is trained without labels has none
    if objects and head is not None:
        classes = min(objects, head.num_classes)
        sample.gt_sem_seg = PixelData(data=_stripes(size, classes))
    return sample


def _detected(cfg: Any, model: nn.Module, size: tuple[int, int], objects: int) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    sample = DetDataSample()
    if not objects:
        return sample
    boxes = _boxes(size, objects)
    masks = np.zeros((objects, *size), dtype=np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist()):
        mask[top:bottom, left:right] = 1
    labels = torch.zeros(objects, dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=BitmapMasks(masks, *size))
    sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0], masks=BitmapMasks(masks[:0], *size))
    head = getattr(model, 'panoptic_head', None)
    things, stuff = (getattr(head, f'num_{kind}_classes', 0) for kind in ('things', 'stuff'))
    shrunk = _label_scale(cfg)
    labelled = tuple(max(1, round(side * shrunk)) for side in size)
    sample.gt_sem_seg = PixelData(sem_seg=_stripes(labelled, min(objects, stuff) or 1) + things)
    return sample


def _boxes(size: tuple[int, int], count: int) -> Tensor:
    """Boxes of several sizes all over the image."""
    height, width = size
    places = (torch.arange(count) + 0.5) / count
    sides = 0.1 + 0.5 * places
    corners = places * (1 - sides), places.flip(0) * (1 - sides)
    left, top = corners[0] * width, corners[1] * height
    right, bottom = left + (sides * width).clamp(min=1), top + (sides * height).clamp(min=1)
    return torch.stack([left, top, right, bottom], dim=1).round()


def _stripes(size: tuple[int, int], classes: int) -> Tensor:
    labels = torch.arange(size[1]) * classes // size[1]
    return labels.expand(1, *size).clone()


def _label_scale(cfg: Any) -> float:
    """By how much the training pipeline shrinks label maps, as heads with a semantic branch want them."""
    loader = cfg.get('train_dataloader') or {}
    dataset = loader.get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    steps = [step for step in dataset.get('pipeline') or () if step.get('type') == 'SegRescale']
    return steps[-1].get('scale_factor', 1) if steps else 1
