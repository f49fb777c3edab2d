"""The ViT of SimMIM: BEiT's blocks and shared table under 'encoder.', beside a decoder of one convolution."""

from __future__ import annotations

from torch import Tensor

from .beit import SHARED, convert, is_beit
from .contract import Format
from .parts.timm_names import body_of


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are BEiT's blocks with a shared table, and the decoder beside them."""
    body = body_of(state_dict)
    return body is not None and is_beit(body) and SHARED in body and 'decoder.0.weight' in state_dict


FORMAT = Format(
    name='SimMIM ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('simmim',),
)
