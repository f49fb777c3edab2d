"""Heads, losses and detectors for mmdet, the only models that import it: at the first look-up of a name of theirs."""

from .size_aware import SizeAwareCascadeRCNN, SizeAwareMaskRCNN

__all__ = ['SizeAwareCascadeRCNN', 'SizeAwareMaskRCNN']
