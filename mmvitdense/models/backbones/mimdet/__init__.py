"""MIMDet and its parts."""

from .conv_stem import ConvStem
from .mimdet import MIMDet
from .padding import inside_images

__all__ = ['ConvStem', 'MIMDet', 'inside_images']
