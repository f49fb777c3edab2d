"""How models are trained: learning rates by layer and by part of a model, and what every run has hooks for."""

from .amp import CpuAmpOptimWrapper
from .errors import NonFiniteError
from .finite_loss import FiniteLossHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .lr_mults import LearningRateOptimWrapperConstructor
from .repeatable import RepeatableHook
from .whole_checkpoint import WholeCheckpointHook

__all__ = [
    'CpuAmpOptimWrapper',
    'FiniteLossHook',
    'LayerDecayOptimWrapperConstructor',
    'LearningRateOptimWrapperConstructor',
    'NonFiniteError',
    'RepeatableHook',
    'WholeCheckpointHook',
]
