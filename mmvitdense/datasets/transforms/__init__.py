"""Transforms of pipelines that mmcv, mmdet and mmseg lack."""

from .byte_seg_map import ByteSegMap
from .color_jitter import ColorJitter
from .redraw import Redraw

__all__ = ['ByteSegMap', 'ColorJitter', 'Redraw']
