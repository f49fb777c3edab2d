"""Transforms of pipelines that mmcv, mmdet and mmseg lack."""

from .byte_seg_map import ByteSegMap
from .color_jitter import ColorJitter
from .exit_scores import LoadExitScores
from .fit_within import FitWithin
from .manipulations import LoadManipulationMask, ManipulationEdge, PadPixels, RandomCopyMove, RandomInpaint
from .pack_image import PackImage
from .panoptic_copy_paste import PanopticCopyPaste
from .photographs import RandomBrightnessContrast, RandomGaussianBlur, RandomJpeg, RandomQuarterTurn, RandomScale
from .redraw import Redraw

__all__ = [
    'ByteSegMap',
    'ColorJitter',
    'FitWithin',
    'LoadExitScores',
    'LoadManipulationMask',
    'ManipulationEdge',
    'PackImage',
    'PadPixels',
    'PanopticCopyPaste',
    'RandomBrightnessContrast',
    'RandomCopyMove',
    'RandomGaussianBlur',
    'RandomInpaint',
    'RandomJpeg',
    'RandomQuarterTurn',
    'RandomScale',
    'Redraw',
]
