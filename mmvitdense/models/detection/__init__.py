"""Heads, losses and detectors for mmdet, the only models that import it: at the first look-up of a name of theirs."""

from .raw_padding import RawPaddingDetDataPreprocessor

__all__ = ['RawPaddingDetDataPreprocessor']
