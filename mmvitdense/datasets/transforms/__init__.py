"""Transforms of pipelines that mmcv, mmdet and mmseg lack."""

from .byte_seg_map import ByteSegMap
from .color_jitter import ColorJitter
from .fit_within import FitWithin
from .redraw import Redraw

__all__ = ['ByteSegMap', 'ColorJitter', 'FitWithin', 'Redraw']
