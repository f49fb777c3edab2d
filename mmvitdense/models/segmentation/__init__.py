"""Segmentors and decode heads for mmseg, the only models that import it: at the first look-up of a name of theirs."""

from .context_replay import ContextReplayHead
from .dpt_head import DPTSegHead
from .early_exit import EarlyExitEncoderDecoder, EarlyExitMask2FormerSegHead
from .iml_head import EdgeWeightedBCELoss, IMLHead
from .kmax_head import KMaXSegHead
from .linear_head import LinearSegHead
from .mask2former_head import Mask2FormerSegHead
from .mask_transformer_head import MaskTransformerSegHead
from .segmentor_tta import SegmentorTTAModel
from .several_resolutions import MultiResolutionEncoderDecoder
from .vpnext_head import VPNeXtHead
from .windowed_segmentor import PredictsInWindows, WindowedEncoderDecoder

__all__ = [
    'ContextReplayHead',
    'DPTSegHead',
    'EarlyExitEncoderDecoder',
    'EarlyExitMask2FormerSegHead',
    'EdgeWeightedBCELoss',
    'IMLHead',
    'KMaXSegHead',
    'LinearSegHead',
    'Mask2FormerSegHead',
    'MaskTransformerSegHead',
    'MultiResolutionEncoderDecoder',
    'PredictsInWindows',
    'SegmentorTTAModel',
    'VPNeXtHead',
    'WindowedEncoderDecoder',
]
