"""Backbones, necks and mask transformers, importable without mmdet and mmseg."""

from mmvitdense.layers import LayerNorm2d
from mmvitdense.registry import MODELS

from .backbones import (
    LiftedViT,
    MIMDet,
    PlainViT,
    TimmViT,
    ViTAdapter,
    ViTCoMer,
    ViTHook,
    ViTTaps,
    VPNeXtViT,
    WindowedTaps,
)
from .mask_transformers import PEM, PMT, EoMT, KMaX
from .necks import (
    NAF,
    SFP,
    BilinearUpsampler,
    ChannelMapperWithPooling,
    ExtraAttention,
    LiFT,
    MapUpsampler,
    SimpleFeaturePyramid,
    ViTFPN,
)
from .tuning import (
    LiFTPretraining,
    NAFPretraining,
    add_lora,
    load_peft,
    merge_lora,
    remove_lora,
    save_peft,
    unmerge_lora,
)

# Heads of mmdet and mmseg take it as `norm_cfg=dict(type='mmvitdense.LayerNorm2d', eps=1e-6)`.
MODELS.register_module(module=LayerNorm2d)

__all__ = [
    'NAF',
    'PEM',
    'PMT',
    'SFP',
    'BilinearUpsampler',
    'ChannelMapperWithPooling',
    'EoMT',
    'ExtraAttention',
    'KMaX',
    'LayerNorm2d',
    'LiFT',
    'LiFTPretraining',
    'LiftedViT',
    'MIMDet',
    'MapUpsampler',
    'NAFPretraining',
    'PlainViT',
    'SimpleFeaturePyramid',
    'TimmViT',
    'VPNeXtViT',
    'ViTAdapter',
    'ViTCoMer',
    'ViTFPN',
    'ViTHook',
    'ViTTaps',
    'WindowedTaps',
    'add_lora',
    'load_peft',
    'merge_lora',
    'remove_lora',
    'save_peft',
    'unmerge_lora',
]
