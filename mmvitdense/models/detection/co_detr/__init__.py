"""Co-DETR (Zong et al. 2022): DINO trained together with a two-stage and a one-stage detector."""

from .atss_head import CoATSSHead
from .detector import CoDETR
from .mask_head import CoMaskHead
from .query_head import CoDINOHead
from .roi_head import CoStandardRoIHead

__all__ = ['CoATSSHead', 'CoDETR', 'CoDINOHead', 'CoMaskHead', 'CoStandardRoIHead']
