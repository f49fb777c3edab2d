"""Metrics that mmdet and mmseg lack."""

from .lift import LiftMetric
from .manipulation import ManipulationMetric

__all__ = ['LiftMetric', 'ManipulationMetric']
