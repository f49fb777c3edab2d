"""Plain ViTs in timm's layout: MAE, DeiT, DeiT III, AugReg, DINO, iBOT, MoCo v3 and timm's own.

``PlainViT`` uses the same names, so that only prefixes and spellings of LayerScale change. MoCo v3 keeps a momentum
encoder beside the base encoder; the base encoder is taken.
"""

from __future__ import annotations

import re

from torch import Tensor

from .prefix import strip_prefix

NAME = 'timm ViT'
ANCHOR = 'blocks.0.attn.qkv.weight'
# Signs of layouts that share the anchor and mean something else by it.
_FOREIGN = re.compile(
    r'attn\.(rel_pos_h|q_bias|bias_mask)$|rope|relative_position_bias|mlp\.(w12|lin1)|reg(ister)?_token'
)


def _body(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    base = {name: value for name, value in state_dict.items() if 'momentum_encoder.' not in name}
    return strip_prefix(base, ANCHOR)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a ViT of timm's layout with nothing that this format does not know."""
    body = _body(state_dict)
    if body is None or 'patch_embed.proj.weight' not in body:
        return False
    return not any(_FOREIGN.search(name) for name in body)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``."""
    renamed = {}
    for name, value in _body(state_dict).items():
        name = re.sub(r'\.gamma_([12])$', r'.ls\1.gamma', name)
        renamed[name] = value
    return renamed
