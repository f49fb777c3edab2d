"""Metrics that mmdet and mmseg lack."""

from .manipulation import ManipulationMetric

__all__ = ['ManipulationMetric']
