"""Mask transformers without mmdet and mmseg: an image in, classes and masks of queries out."""

from .eomt import EoMT
from .mask_head import MaskHead, ScaleBlock
from .predictions import MaskPredictions
from .query_blocks import run_query_blocks

__all__ = ['EoMT', 'MaskHead', 'MaskPredictions', 'ScaleBlock', 'run_query_blocks']
