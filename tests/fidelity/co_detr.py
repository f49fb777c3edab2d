"""A small `CoDETR` with the options of `tests/golden/codetr_heads.npz`, on maps in the place of a trunk."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS as DETECTION_MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvitdense.registry import MODELS

CLASSES, STRIDES, WEIGHT = 5, [8, 16, 32], 4.0
_MEANS = [0.0] * 4


@MODELS.register_module()
class GivenMaps(nn.Module):
    """A backbone that returns what it was given."""

    maps: tuple[Tensor, ...] = ()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The maps."""
        return self.maps


def detector(**changes: Any) -> nn.Module:
    """The detector; `changes` are arguments of `CoDETR`."""
    width, nms = 32, {'type': 'nms', 'iou_threshold': 0.7}
    attention = {'embed_dims': width, 'num_heads': 4, 'dropout': 0.0}
    deformable = {**attention, 'num_levels': 3, 'num_points': 2}
    ffn = {'embed_dims': width, 'feedforward_channels': 48, 'ffn_drop': 0.0}
    coder = {'type': 'DeltaXYWHBBoxCoder', 'target_means': _MEANS, 'target_stds': [0.1, 0.1, 0.2, 0.2]}
    anchors = {'type': 'AnchorGenerator', 'strides': [*STRIDES, 64]}
    binary = {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': WEIGHT}
    overlap = {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.5, 'neg_iou_thr': 0.5, 'min_pos_iou': 0.5}
    options = {
        'backbone': {'type': 'mmvitdense.GivenMaps'},
        'num_queries': 20,
        'num_feature_levels': 3,
        'with_box_refine': True,
        'as_two_stage': True,
        'aux_loss_weight': 0.7,
        'max_pos_coords': 12,
        'encoder': {'num_layers': 2, 'layer_cfg': {'self_attn_cfg': deformable, 'ffn_cfg': ffn}},
        'decoder': {
            'num_layers': 2,
            'return_intermediate': True,
            'layer_cfg': {'self_attn_cfg': attention, 'cross_attn_cfg': deformable, 'ffn_cfg': ffn},
            'post_norm_cfg': None,
        },
        'positional_encoding': {'num_feats': width // 2, 'normalize': True, 'offset': 0.0, 'temperature': 20},
        'bbox_head': {
            'type': 'mmvitdense.CoDINOHead',
            'num_classes': CLASSES,
            'embed_dims': width,
            'sync_cls_avg_factor': True,
            'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True, 'beta': 2.0, 'loss_weight': 1.0},
            'loss_bbox': {'type': 'L1Loss', 'loss_weight': 5.0},
            'loss_iou': {'type': 'GIoULoss', 'loss_weight': 2.0},
        },
        'dn_cfg': {
            'label_noise_scale': 0.5,
            'box_noise_scale': 0.4,
            'group_cfg': {'dynamic': True, 'num_groups': None, 'num_dn_queries': 9},
        },
        'rpn_head': {
            'type': 'RPNHead',
            'in_channels': width,
            'feat_channels': width,
            'anchor_generator': {**anchors, 'octave_base_scale': 2, 'scales_per_octave': 2, 'ratios': [0.5, 1.0, 2.0]},
            'bbox_coder': {**coder, 'target_stds': [1.0] * 4},
            'loss_cls': binary,
            'loss_bbox': {'type': 'L1Loss', 'loss_weight': WEIGHT},
        },
        'roi_head': {
            'type': 'mmvitdense.CoStandardRoIHead',
            'bbox_roi_extractor': {
                'type': 'SingleRoIExtractor',
                'roi_layer': {'type': 'RoIAlign', 'output_size': 3, 'sampling_ratio': 0},
                'out_channels': width,
                'featmap_strides': STRIDES,
                'finest_scale': 24,
            },
            'bbox_head': {
                'type': 'Shared2FCBBoxHead',
                'in_channels': width,
                'fc_out_channels': 40,
                'roi_feat_size': 3,
                'num_classes': CLASSES,
                'bbox_coder': coder,
                'reg_decoded_bbox': True,
                'loss_cls': {**binary, 'use_sigmoid': False},
                'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 10 * WEIGHT},
            },
        },
        'dense_head': {
            'type': 'mmvitdense.CoATSSHead',
            'num_classes': CLASSES,
            'in_channels': width,
            'stacked_convs': 1,
            'feat_channels': width,
            'anchor_generator': {**anchors, 'octave_base_scale': 4, 'scales_per_octave': 1, 'ratios': [1.0]},
            'bbox_coder': coder,
            'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25, 'loss_weight': WEIGHT},
            'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 2 * WEIGHT},
            'loss_centerness': binary,
        },
        'train_cfg': {
            'assigner': {
                'type': 'HungarianAssigner',
                'match_costs': [
                    {'type': 'FocalLossCost', 'weight': 2.0},
                    {'type': 'BBoxL1Cost', 'weight': 5.0, 'box_format': 'xywh'},
                    {'type': 'IoUCost', 'iou_mode': 'giou', 'weight': 2.0},
                ],
            },
            'rpn': {
                'assigner': {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.7, 'neg_iou_thr': 0.3, 'min_pos_iou': 0.3},
                'sampler': {'type': 'RandomSampler', 'num': 64, 'pos_fraction': 0.5, 'add_gt_as_proposals': False},
                'allowed_border': -1,
                'pos_weight': -1,
            },
            'rpn_proposal': {'nms_pre': 200, 'max_per_img': 40, 'nms': nms, 'min_bbox_size': 0},
            'rcnn': {
                'assigner': {**overlap, 'match_low_quality': False},
                'sampler': {'type': 'RandomSampler', 'num': 32, 'pos_fraction': 0.25, 'add_gt_as_proposals': True},
                'pos_weight': -1,
            },
            'dense': {'assigner': {'type': 'ATSSAssigner', 'topk': 9}, 'allowed_border': -1, 'pos_weight': -1},
        },
        'test_cfg': {
            'max_per_img': 15,
            'nms': {'type': 'soft_nms', 'iou_threshold': 0.3},
            'rpn': {'nms_pre': 100, 'max_per_img': 30, 'nms': nms, 'min_bbox_size': 0},
            'rcnn': {'score_thr': 0.05, 'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 10},
            'dense': {
                'nms_pre': 100,
                # mmdet 3 drops boxes without area here, mmdet 2 did not.
                'min_bbox_size': -1,
                'score_thr': 0.0,
                'nms': {'type': 'nms', 'iou_threshold': 0.6},
                'max_per_img': 10,
            },
        },
    }
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DETECTION_MODELS.build(ConfigDict(_merged({'type': 'mmvitdense.CoDETR', **options}, changes)))


def _merged(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Changes are added to options of losses and results, and take the place of others."""
    added = {name: {**options[name], **changes[name]} for name in ('train_cfg', 'test_cfg') if name in changes}
    return {**options, **changes, **added}


def samples(golden: dict[str, Any]) -> list[DetDataSample]:
    """The images of the file: padded, and resized by different factors of width and height."""
    side, meta = tuple(golden['meta']['side']), golden['meta']
    found = []
    for shape, boxes, labels in zip(meta['shapes'], meta['boxes'], meta['labels']):
        shapes = {'img_shape': tuple(shape), 'ori_shape': tuple(shape), 'pad_shape': side, 'batch_input_shape': side}
        objects = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
        found.append(DetDataSample(metainfo={**shapes, 'scale_factor': (1.6, 1.5)}, gt_instances=objects))
    return found


def maps(golden: dict[str, Any]) -> tuple[Tensor, ...]:
    """The maps of the file, three levels of B x 32 x h x w."""
    return tuple(golden['in'][f'map{level}'].clone() for level in range(3))
