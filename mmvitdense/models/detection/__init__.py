"""Heads, losses and detectors for mmdet, the only models that import it: at the first look-up of a name of theirs."""

from .cascade_roi_head import Detectron2CascadeRoIHead
from .co_detr import CoATSSHead, CoDETR, CoDINOHead, CoMaskHead, CoStandardRoIHead
from .dino import DINO
from .early_exit import EarlyExitEncoder, EarlyExitPixelDecoder
from .early_exit_head import EarlyExitMask2Former, EarlyExitMask2FormerHead
from .federated_loss import FederatedLoss
from .htc_tta import HTCTTAModel
from .kmax_fusion_head import KMaXFusionHead
from .kmax_head import KMaXHead
from .mask_head import Detectron2MaskHead
from .mask_transformer_head import MaskTransformerHead
from .plain_detr import BoxDeltaL1Cost, PlainDETR, PlainDETRHead
from .raw_padding import RawPaddingDetDataPreprocessor
from .several_resolutions import MultiResolutionSingleStageDetector, MultiResolutionTwoStageDetector
from .size_aware import SizeAwareATSS, SizeAwareCascadeRCNN, SizeAwareDINO, SizeAwareMaskRCNN, SizeAwareRetinaNet

__all__ = [
    'DINO',
    'BoxDeltaL1Cost',
    'CoATSSHead',
    'CoDETR',
    'CoDINOHead',
    'CoMaskHead',
    'CoStandardRoIHead',
    'Detectron2CascadeRoIHead',
    'Detectron2MaskHead',
    'EarlyExitEncoder',
    'EarlyExitMask2Former',
    'EarlyExitMask2FormerHead',
    'EarlyExitPixelDecoder',
    'FederatedLoss',
    'HTCTTAModel',
    'KMaXFusionHead',
    'KMaXHead',
    'MaskTransformerHead',
    'MultiResolutionSingleStageDetector',
    'MultiResolutionTwoStageDetector',
    'PlainDETR',
    'PlainDETRHead',
    'RawPaddingDetDataPreprocessor',
    'SizeAwareATSS',
    'SizeAwareCascadeRCNN',
    'SizeAwareDINO',
    'SizeAwareMaskRCNN',
    'SizeAwareRetinaNet',
]
