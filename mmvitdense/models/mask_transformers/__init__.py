"""Mask transformers without mmdet and mmseg: an image in, classes and masks of queries out."""

from .eomt import EoMT
from .kmax import KMaX
from .mask_head import MaskHead, ScaleBlock
from .pem import PEM
from .pmt import PMT, TrunkTokens
from .predictions import MaskPredictions
from .query_blocks import run_query_blocks

__all__ = ['PEM', 'PMT', 'EoMT', 'KMaX', 'MaskHead', 'MaskPredictions', 'ScaleBlock', 'TrunkTokens', 'run_query_blocks']
