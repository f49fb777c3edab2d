"""The ViT of SimMIM: BEiT's blocks and shared table under 'encoder.', beside a decoder of one convolution."""

from __future__ import annotations

from .beit import SHARED, convert, is_beit, options
from .parts.timm_names import body_of

__all__ = ['NAME', 'convert', 'matches', 'options']

NAME = 'SimMIM ViT'


def matches(state_dict):
    """Whether there are BEiT's blocks with a shared table, and the decoder beside them."""
    body = body_of(state_dict)
    return body is not None and is_beit(body) and SHARED in body and 'decoder.0.weight' in state_dict
