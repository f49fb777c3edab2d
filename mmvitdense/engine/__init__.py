"""How models are trained: learning rates by layer and by part of a model."""

from .layer_decay import LayerDecayOptimWrapperConstructor
from .lr_mults import LearningRateOptimWrapperConstructor

__all__ = ['LayerDecayOptimWrapperConstructor', 'LearningRateOptimWrapperConstructor']
