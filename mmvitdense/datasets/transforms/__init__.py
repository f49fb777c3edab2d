"""Transforms of pipelines that mmcv, mmdet and mmseg lack."""

from .color_jitter import ColorJitter
from .redraw import Redraw

__all__ = ['ColorJitter', 'Redraw']
