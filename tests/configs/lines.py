"""What the heads of our configs are beside one distribution of OpenMMLab, for comparison with the other.

    python -m tests.configs.lines > tests/configs/lines.json     in an environment of requirements/openmmlab.txt

writes what the original one gives: digests of the names and shapes of everything around the backbones, and, with fixed
weights and images, losses and the highest scores of small models.
"""

from __future__ import annotations

import copy
import hashlib
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData

from tests.configs.shrink import SIDE, shrink_model

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_suffix('.json')
# A config for each head and each width that it is fed.
HEADS = (
    'detection_transfer/vit-fpn-b-mae_mask-rcnn_lsj-100e_coco',
    'mimdet/mimdet-b-mae_cascade-mask-rcnn_sr050-3x_coco',
    'mimdet/mimdet-b-mae_mask-rcnn_sr050-3x_coco',
    'vit/vit-b-mae_upernet-multilevel_160k_ade20k-512',
    'vit_adapter/vit-adapter-l-beitv2_mask2former_80k_ade20k-896',
    'vit_adapter/vit-adapter-s-deit_atss_ms-3x_coco',
    'vit_adapter/vit-adapter-s-deit_cascade-mask-rcnn_ms-3x_coco',
    'vit_adapter/vit-adapter-s-deit_gfl_ms-3x_coco',
    'vit_adapter/vit-adapter-s-deit_mask-rcnn_1x_coco',
    'vit_adapter/vit-adapter-s-deit_upernet_160k_ade20k-512',
    'vit_comer/vit-comer-l-beitv2_dino-5scale_16e_coco',
    'vitdet/vitdet-b-mae_atss_lsj-100e_coco',
    'vitdet/vitdet-b-mae_cascade-mask-rcnn_lsj-100e_coco',
    'vitdet/vitdet-b-mae_cascade-mask-rcnn_lsj-100e_lvis-v1',
    'vitdet/vitdet-b-mae_dino-4scale_lsj-50e_coco',
    'vitdet/vitdet-b-mae_gfl_lsj-100e_coco',
    'vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco',
    'vitdet/vitdet-b-mae_mask2former-instance_lsj-50e_coco',
    'vitdet/vitdet-b-mae_mask2former-panoptic_lsj-50e_coco',
    'vitdet/vitdet-b-mae_retinanet_lsj-100e_coco',
)
# One for each kind of head.
COMPUTED = (
    'vit/vit-b-mae_upernet-multilevel_160k_ade20k-512',
    'vit_adapter/vit-adapter-l-beitv2_mask2former_80k_ade20k-896',
    'vitdet/vitdet-b-mae_atss_lsj-100e_coco',
    'vitdet/vitdet-b-mae_cascade-mask-rcnn_lsj-100e_coco',
    'vitdet/vitdet-b-mae_dino-4scale_lsj-50e_coco',
    'vitdet/vitdet-b-mae_gfl_lsj-100e_coco',
    'vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco',
    'vitdet/vitdet-b-mae_mask2former-panoptic_lsj-50e_coco',
    'vitdet/vitdet-b-mae_retinanet_lsj-100e_coco',
)


def load(name: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


def structure(name: str) -> dict[str, str]:
    """Part of the model without its backbone -> number of tensors and a digest of their names and shapes."""
    config = load(name)
    model = copy.deepcopy(config.model)
    model.backbone = {'type': 'mmvitdense.PlainViT', 'embed_dims': 48, 'num_layers': 1, 'num_heads': 3}
    with torch.device('meta'), DefaultScope.overwrite_default_scope(config.default_scope):
        built = MODELS.build(model)
    lines = sorted(f'{key} {tuple(value.shape)}' for key, value in built.state_dict().items())
    parts = {}
    for part, group in groupby(lines, key=lambda line: line.split('.')[0].split(' ')[0]):
        text = '\n'.join(group)
        parts[part] = f'{text.count(chr(10)) + 1} {hashlib.sha256(text.encode()).hexdigest()[:16]}'
    del parts['backbone']
    return parts


def values(name: str) -> dict[str, float | list[float]]:
    """Losses and highest scores of a small model for fixed weights, images and objects."""
    config = shrink_model(load(name), level_width=64, proposals=32)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = revert_sync_batchnorm(MODELS.build(config.model))
    _fill(model)
    data = {'inputs': _images(), 'data_samples': _samples(config)}
    torch.manual_seed(0)  # samples of anchors and points, dropout
    losses = model.train()(**data, mode='loss')
    found = {key: float(sum(torch.as_tensor(value).sum() for value in _listed(value))) for key, value in losses.items()}
    with torch.no_grad():
        results = model.eval()(**data, mode='predict')
    if config.default_scope == 'mmseg':
        found['scores'] = torch.stack([result.seg_logits.data.std() for result in results]).tolist()
    else:
        scores = torch.cat([result.pred_instances.scores for result in results])
        found['scores'] = scores.sort(descending=True)[0][:8].tolist()
    return found


def record() -> dict[str, dict]:
    """Everything above, as the file holds it."""
    return {
        'structures': {name: structure(name) for name in HEADS},
        'values': {name: values(name) for name in COMPUTED},
    }


def _listed(value: torch.Tensor | list) -> list:
    return value if isinstance(value, list) else [value]


def _fill(model: torch.nn.Module) -> None:
    numbers = np.random.RandomState(0)
    state = model.state_dict()
    for key in sorted(state):
        tensor = state[key]
        if not tensor.is_floating_point():
            continue
        drawn = torch.from_numpy(numbers.standard_normal(tuple(tensor.shape))).to(tensor)
        if tensor.dim() > 1:
            drawn *= tensor[0].numel() ** -0.5
        elif key.endswith(('weight', 'gamma')):
            drawn = 1 + 0.1 * drawn
        elif key.endswith('running_var'):
            drawn = drawn.abs() + 0.5
        else:
            drawn *= 0.1
        tensor.copy_(drawn)


def _images() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(1).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32))


def _samples(config: Config) -> list:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmseg.structures import SegDataSample

    numbers = np.random.RandomState(2)
    meta = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (SIDE, SIDE))
    samples = []
    for _ in range(2):
        low = numbers.uniform(0, SIDE / 2, (3, 2))
        boxes = np.concatenate([low, low + numbers.uniform(8, SIDE / 2, (3, 2))], axis=1).round()
        labels = torch.arange(3)
        masks = np.zeros((3, SIDE, SIDE), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
            mask[y1:y2, x1:x2] = 1
        semantic = torch.from_numpy((masks * [[[1]], [[2]], [[3]]]).max(0)[None].astype(np.int64))
        if config.default_scope == 'mmseg':
            samples.append(SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=semantic)))
            continue
        objects = InstanceData(bboxes=torch.from_numpy(boxes.astype(np.float32)), labels=labels)
        objects.masks = BitmapMasks(masks, SIDE, SIDE)
        # Of the classes of a panoptic head, number 80 is stuff.
        semantic = torch.where(semantic == 0, 80, semantic - 1)
        sample = DetDataSample(metainfo={**meta, 'scale_factor': (1.0, 1.0)}, gt_instances=objects)
        sample.ignored_instances = objects[:0]
        sample.gt_sem_seg = PixelData(sem_seg=semantic)
        samples.append(sample)
    return samples


if __name__ == '__main__':
    import mmvitdense  # noqa: F401

    print(json.dumps(record(), indent=1))
