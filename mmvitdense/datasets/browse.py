"""Pictures of what a training pipeline produces: images after augmentation with their boxes, masks and maps."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import DATASETS, VISUALIZERS, DefaultScope
from mmengine.structures import InstanceData, PixelData

_VISUALIZERS = {'mmdet': 'mmdet.DetLocalVisualizer', 'mmseg': 'mmseg.SegLocalVisualizer'}
_LEGIBLE = 512  # pixels; smaller pictures are enlarged, so that labels do not hide what they name


def browse(cfg: dict, output_dir: str | Path, num: int = 16) -> Iterator[Path]:
    """Draw training samples of a detection or segmentation config, evenly spread over the data set.

    Args:
        cfg: An mmengine Config; its ``train_dataloader.dataset`` is drawn.
        output_dir: Folder for the pictures, created if needed.
        num: How many samples; all of them if there are fewer.

    Yields:
        The path of each picture once it is written.

    Raises:
        ValueError: If the samples are of another library than mmdet and mmseg.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg['train_dataloader']['dataset'])
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    visualizer = None
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(num, len(dataset))).round().astype(int)).tolist():
        with DefaultScope.overwrite_default_scope(scope):
            item = dataset[index]
        sample = item['data_samples']
        visualizer = visualizer or _build_visualizer(sample, dataset.metainfo)
        image = _to_rgb(item['inputs'])
        factor = max(1, _LEGIBLE // max(image.shape[:2]))
        path = output_dir / f'{index:06d}_{Path(getattr(sample, "img_path", "image")).stem}.jpg'
        _draw(visualizer, _enlarge_image(image, factor), _enlarge_labels(sample, factor), path)
        yield path


def _build_visualizer(sample: Any, metainfo: dict) -> Any:
    library = type(sample).__module__.partition('.')[0]
    if library not in _VISUALIZERS:
        raise ValueError(
            f'Samples of {" and ".join(_VISUALIZERS)} can be drawn, got a {type(sample).__name__} of {library}.'
        )
    visualizer = VISUALIZERS.get(_VISUALIZERS[library])(alpha=0.5)
    visualizer.dataset_meta = metainfo
    return visualizer


def _draw(visualizer: Any, image: np.ndarray, sample: Any, path: Path) -> None:
    partial = path.with_name(f'.partial-{path.name}')
    try:
        with warnings.catch_warnings():
            # mmengine warns of each box and outline that touches the edge of the image.
            warnings.filterwarnings('ignore', '.*out of bounds.*')
            visualizer.add_datasample(path.stem, image, sample, draw_pred=False, out_file=str(partial))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _to_rgb(inputs: torch.Tensor) -> np.ndarray:
    """Return 3 x H x W BGR, as pipelines make it, as H x W x 3 uint8 RGB; normalised images are stretched to 0..255."""
    image = inputs.permute(1, 2, 0).numpy()
    if image.dtype != np.uint8:
        low, high = image.min(), image.max()
        image = ((image - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return image[..., [2, 1, 0]] if image.shape[2] >= 3 else image[..., [0, 0, 0]]


def _enlarge_image(image: np.ndarray, factor: int) -> np.ndarray:
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else np.ascontiguousarray(image)


def _enlarge_labels(sample: Any, factor: int) -> Any:
    """Return a data sample with the labels of ``sample``, for an image ``factor`` times as large each way."""
    enlarged = type(sample)(metainfo=sample.metainfo)
    if 'gt_instances' in sample:
        instances = sample.gt_instances
        drawn = InstanceData(labels=instances.labels)
        if 'bboxes' in instances:
            drawn.bboxes = getattr(instances.bboxes, 'tensor', instances.bboxes) * factor
        if 'masks' in instances:
            masks = instances.masks
            masks = masks.numpy() if isinstance(masks, torch.Tensor) else masks.to_ndarray()
            drawn.masks = masks.astype(bool).repeat(factor, axis=1).repeat(factor, axis=2)
        enlarged.gt_instances = drawn
    if 'gt_sem_seg' in sample:
        labels = sample.gt_sem_seg.data
        enlarged.gt_sem_seg = PixelData(data=labels.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2))
    return enlarged
