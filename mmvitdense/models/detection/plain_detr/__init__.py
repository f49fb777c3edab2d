"""Plain-DETR (Lin et al. 2023) on one map of a frozen ViT, as DINOv3 released it."""

from .costs import BoxDeltaL1Cost
from .detector import PlainDETR
from .head import PlainDETRHead

__all__ = ['BoxDeltaL1Cost', 'PlainDETR', 'PlainDETRHead']
