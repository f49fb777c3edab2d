"""ResFormer: timm's names, with convolved sines as positions and convolutions of the values."""

from __future__ import annotations

from torch import Tensor

from .contract import Format
from .parts.renaming import rename
from .parts.timm_names import body_of, convert_body

_POSITIONS = 'pos_embed.embed_layer.weight'
_RULES = ((r'^pos_embed\.embed_layer\.', 'sine_conv.conv.'), (r'\.attn\.get_v\.', '.attn.value_conv.'))


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether a convolution stands in the place of the table of positions."""
    body = body_of(state_dict)
    return body is not None and _POSITIONS in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    return rename(convert_body(body_of(state_dict)), _RULES)


FORMAT = Format(
    name='ResFormer',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('resformer',),
)
