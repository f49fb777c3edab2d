"""A small `PlainDETR` with the options of `tests/golden/plain_detr.npz`."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

CLASSES, WIDTH, PATCH = 5, 32, 8
VIT = {
    'preset': 'dinov3-small',
    'embed_dims': 32,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 64,
    'patch_size': PATCH,
    'num_registers': 2,
    'frozen_stages': 'all',
}


def detector(windows: int = 3, vit: dict[str, Any] | None = None, **changes: Any) -> nn.Module:
    """The detector; `changes` are arguments of `PlainDETR`."""
    attention = {'embed_dims': WIDTH, 'num_heads': 4}
    ffn = {'embed_dims': WIDTH, 'feedforward_channels': 48, 'ffn_drop': 0.0}
    trunk = {'type': 'mmvitdense.WindowedTaps', 'vit': {**VIT, **(vit or {})}, 'num_windows': windows}
    options = {
        'backbone': trunk,
        'neck': {
            'type': 'ChannelMapper',
            'in_channels': [4 * 32 * (2 if windows else 1)],
            'out_channels': WIDTH,
            'kernel_size': 1,
            'bias': True,
            'norm_cfg': {'type': 'GN', 'num_groups': 32},
            'act_cfg': None,
        },
        'encoder': {'num_layers': 1, 'layer_cfg': {'self_attn_cfg': attention, 'ffn_cfg': ffn}},
        'decoder': {
            'num_layers': 2,
            'layer_cfg': {
                'self_attn_cfg': attention,
                'cross_attn_cfg': {**attention, 'hidden_dims': 16},
                'ffn_cfg': ffn,
            },
        },
        'proposals': {'min_size': 5},
        'num_queries': 8,
        'num_one2many': 12,
        'stride': PATCH,
        'bbox_head': {
            'type': 'mmvitdense.PlainDETRHead',
            'num_classes': CLASSES,
            'embed_dims': WIDTH,
            'num_repeats': 6,
            'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25, 'loss_weight': 2.0},
            'loss_bbox': {'type': 'L1Loss', 'loss_weight': 1.0},
            'loss_iou': {'type': 'GIoULoss', 'loss_weight': 2.0},
        },
        'train_cfg': {
            'assigner': {
                'type': 'HungarianAssigner',
                'match_costs': [
                    {'type': 'FocalLossCost', 'weight': 2.0, 'eps': 1e-8},
                    {'type': 'mmvitdense.BoxDeltaL1Cost', 'weight': 1.0},
                    {'type': 'IoUCost', 'iou_mode': 'giou', 'weight': 2.0},
                ],
            }
        },
        'test_cfg': {'max_per_img': 20},
    }
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(ConfigDict({'type': 'mmvitdense.PlainDETR', **options, **changes}))


def samples(golden: dict[str, Any]) -> list[DetDataSample]:
    """The images of the file: padded, and resized by different factors of width and height."""
    side, meta = tuple(golden['meta']['side']), golden['meta']
    found = []
    for shape, boxes, labels in zip(meta['shapes'], meta['boxes'], meta['labels']):
        shapes = {'img_shape': tuple(shape), 'ori_shape': tuple(shape), 'pad_shape': side, 'batch_input_shape': side}
        objects = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
        # Of width and height.
        found.append(DetDataSample(metainfo={**shapes, 'scale_factor': (1 / 1.6, 1 / 1.5)}, gt_instances=objects))
    return found


def images(golden: dict[str, Any]) -> Tensor:
    """The images of the file, with zeros up to their common size: 2 x 3 x H x W."""
    height, width = golden['meta']['side']
    found = torch.zeros(2, 3, height, width)
    for index, canvas in enumerate(found):
        image = golden['in'][f'image{index}']
        canvas[:, : image.shape[1], : image.shape[2]] = image
    return found
