"""How models are trained: learning rates by layer and part of a model, samplers, and the hooks of every run."""

from .amp import CpuAmpOptimWrapper
from .class_counts import ClassCountsHook
from .early_stopping import ResumableEarlyStoppingHook
from .errors import (
    LoadingError,
    NonFiniteError,
    OtherTrainingError,
    SavingError,
    ShardingError,
    StoppedBySignal,
    WorkDirInUseError,
)
from .exit_depths import ExitDepthHook
from .finite_loss import FiniteLossHook
from .full_sharding import FullyShardedModel
from .layer_decay import LayerDecayOptimWrapperConstructor
from .lr_mults import LearningRateOptimWrapperConstructor
from .mask_annealing import MaskAnnealingHook
from .mask_transformer_rates import MaskTransformerOptimWrapperConstructor
from .processes import ProcessesHook
from .repeat_factor_sampler import RepeatFactorSampler
from .repeatable import RepeatableHook
from .trained_weights import RestoreFrozenHook, TrainedWeightsHook
from .two_stage_warmup import TwoStageWarmupPoly
from .whole_checkpoint import WholeCheckpointHook
from .work_dir import WorkDirHook

__all__ = [
    'ClassCountsHook',
    'CpuAmpOptimWrapper',
    'ExitDepthHook',
    'FiniteLossHook',
    'FullyShardedModel',
    'LayerDecayOptimWrapperConstructor',
    'LearningRateOptimWrapperConstructor',
    'LoadingError',
    'MaskAnnealingHook',
    'MaskTransformerOptimWrapperConstructor',
    'NonFiniteError',
    'OtherTrainingError',
    'ProcessesHook',
    'RepeatFactorSampler',
    'RepeatableHook',
    'RestoreFrozenHook',
    'ResumableEarlyStoppingHook',
    'SavingError',
    'ShardingError',
    'StoppedBySignal',
    'TrainedWeightsHook',
    'TwoStageWarmupPoly',
    'WholeCheckpointHook',
    'WorkDirHook',
    'WorkDirInUseError',
]
