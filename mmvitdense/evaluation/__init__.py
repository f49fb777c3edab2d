"""Metrics that mmdet and mmseg lack."""

from .lift import LiftMetric
from .manipulation import ManipulationMetric
from .pixel_confusion import PixelConfusion

__all__ = ['LiftMetric', 'ManipulationMetric', 'PixelConfusion']
