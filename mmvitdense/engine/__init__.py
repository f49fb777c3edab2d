"""How models are trained: learning rates by layer and part of a model, samplers, and the hooks of every run."""

from .amp import CpuAmpOptimWrapper
from .class_counts import ClassCountsHook
from .errors import LoadingError, NonFiniteError, SavingError, StoppedBySignal, WorkDirInUseError
from .finite_loss import FiniteLossHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .lr_mults import LearningRateOptimWrapperConstructor
from .processes import ProcessesHook
from .repeat_factor_sampler import RepeatFactorSampler
from .repeatable import RepeatableHook
from .whole_checkpoint import WholeCheckpointHook
from .work_dir import WorkDirHook

__all__ = [
    'ClassCountsHook',
    'CpuAmpOptimWrapper',
    'FiniteLossHook',
    'LayerDecayOptimWrapperConstructor',
    'LearningRateOptimWrapperConstructor',
    'LoadingError',
    'NonFiniteError',
    'ProcessesHook',
    'RepeatFactorSampler',
    'RepeatableHook',
    'SavingError',
    'StoppedBySignal',
    'WholeCheckpointHook',
    'WorkDirHook',
    'WorkDirInUseError',
]
