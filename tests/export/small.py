"""Detectors and segmentors small enough to be exported in a second."""

from __future__ import annotations

import torch
from torch import nn

from mmvitdense.apis.build import build_model
from mmvitdense.apis.config import load_config

SIDE = 64
_VIT = {
    'embed_dims': 32,
    'num_layers': 1,
    'num_heads': 2,
    'feedforward_channels': 32,
    'img_size': SIDE,
    'pretrain_img_size': SIDE,
    'window_size': 4,
    'global_blocks': (0,),
}
_DETECTOR = {'model.data_preprocessor.pad_size_divisor': 32, 'model.neck.in_channels': 32}
_DENSE = {'model.test_cfg.score_thr': 0.0, 'model.test_cfg.nms_pre': 60, 'model.bbox_head.stacked_convs': 1}
_REGIONS = {
    'model.neck.scale_factors': (2, 1),
    'model.neck.num_outs': 3,
    'model.rpn_head.anchor_generator.strides': [4, 8, 16],
    'model.roi_head.bbox_roi_extractor.featmap_strides': [4, 8],
    'model.roi_head.mask_roi_extractor.featmap_strides': [4, 8],
    'model.rpn_head.anchor_generator.scales': [4],
    'model.test_cfg.rpn.nms_pre': 40,
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'model.test_cfg.rcnn.max_per_img': 12,
    'model.roi_head.bbox_head.fc_out_channels': 32,
    'model.roi_head.mask_head.num_convs': 1,
}
_CASCADE = {
    'model.roi_head.type': 'mmvitdense.Detectron2CascadeRoIHead',
    'model.roi_head.bbox_head.reg_class_agnostic': True,
}
_FASTER = {'model.roi_head.mask_head': None, 'model.roi_head.mask_roi_extractor': None}
_DINO = {
    'model.num_queries': 10,
    'model.test_cfg.max_per_img': 10,
    'model.encoder.num_layers': 1,
    'model.decoder.num_layers': 1,
    'model.neck.scale_factors': (2, 1),
    'model.neck.num_outs': 2,
    'model.num_feature_levels': 2,
    'model.encoder.layer_cfg.self_attn_cfg.num_levels': 2,
    'model.decoder.layer_cfg.cross_attn_cfg.num_levels': 2,
}
_EOMT = {f'model.backbone.vit.{name}': value for name, value in _VIT.items() if 'window' not in name} | {
    'model.backbone.vit.global_blocks': (0,),
    'model.backbone.num_query_blocks': 1,
    'model.backbone.num_queries': 6,
    'model.test_cfg.max_per_image': 6,
}
# Of segments without a threshold, as masks and classes of random weights are not sure.
_KMAX = {
    'model.data_preprocessor.pad_size_divisor': 32,
    'model.neck.0.in_channels': 32,
    'model.neck.1.num_layers': (1, 0, 0),
    'model.test_cfg': {'mask_thr': 0.1, 'thing_thr': 0.0, 'stuff_thr': 0.0, 'overlap_thr': 0.0, 'instance_on': True},
}
MODELS = {
    'mask_rcnn': ('quickstart/vitdet-tiny_mask-rcnn_shapes', _DETECTOR | _REGIONS),
    'faster_rcnn': ('quickstart/vitdet-tiny_mask-rcnn_shapes', _DETECTOR | _REGIONS | _FASTER),
    'cascade': ('quickstart/vitdet-tiny_mask-rcnn_shapes', _DETECTOR | _REGIONS | _CASCADE),
    'retinanet': ('vitdet/vitdet-tiny_retinanet_shapes', _DETECTOR | _DENSE),
    'atss': ('vitdet/vitdet-tiny_atss_shapes', _DETECTOR | _DENSE),
    'gfl': ('vitdet/vitdet-tiny_gfl_shapes', _DETECTOR | _DENSE),
    'dino': ('vitdet/vitdet-tiny_dino_shapes', _DETECTOR | _DINO),
    'eomt': ('eomt/eomt-tiny_panoptic_shapes', _EOMT | {'model.data_preprocessor.pad_size_divisor': 32}),
    'kmax': ('kmax_deeplab/kmax-tiny_panoptic_shapes', _KMAX),
    'upernet': ('quickstart/vit-tiny_upernet_shapes', {'model.neck.in_channels': 32}),
    'eomt_semantic': ('eomt/eomt-tiny_semantic_shapes', _EOMT),
}


def small_config(name: str, **more: object):
    """The config of a model of `MODELS`."""
    path, options = MODELS[name]
    vit = {} if 'eomt' in name else {f'model.backbone.{key}': value for key, value in _VIT.items()}
    return load_config(f'configs/{path}.py', vit | options | more)


def small_model(name: str) -> tuple[object, nn.Module]:
    """Config and model, in evaluation mode, with every parameter drawn anew: zeros and ones would hide mistakes."""
    cfg = small_config(name)
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    model.init_weights()
    with torch.no_grad():
        for value in model.parameters():
            value += torch.randn_like(value) * 0.05
    return cfg, model
