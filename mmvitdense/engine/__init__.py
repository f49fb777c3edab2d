"""How models are trained: learning rates by layer and part of a model, samplers, and the hooks of every run."""

from .amp import CpuAmpOptimWrapper
from .class_counts import ClassCountsHook
from .errors import NonFiniteError
from .finite_loss import FiniteLossHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .lr_mults import LearningRateOptimWrapperConstructor
from .mask_annealing import MaskAnnealingHook
from .mask_transformer_rates import MaskTransformerOptimWrapperConstructor
from .repeat_factor_sampler import RepeatFactorSampler
from .repeatable import RepeatableHook
from .trained_weights import RestoreFrozenHook, TrainedWeightsHook
from .two_stage_warmup import TwoStageWarmupPoly
from .whole_checkpoint import WholeCheckpointHook

__all__ = [
    'ClassCountsHook',
    'CpuAmpOptimWrapper',
    'FiniteLossHook',
    'LayerDecayOptimWrapperConstructor',
    'LearningRateOptimWrapperConstructor',
    'MaskAnnealingHook',
    'MaskTransformerOptimWrapperConstructor',
    'NonFiniteError',
    'RepeatFactorSampler',
    'RepeatableHook',
    'RestoreFrozenHook',
    'TrainedWeightsHook',
    'TwoStageWarmupPoly',
    'WholeCheckpointHook',
]
