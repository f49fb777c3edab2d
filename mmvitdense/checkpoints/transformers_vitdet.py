"""ViTDet of ``transformers`` (``VitDetModel``, ``VitDetBackbone``): the ViT without a pyramid."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .implied_options import implied_options
from .prefix import strip_prefix
from .renaming import rename

NAME = 'transformers ViTDet'
ANCHOR = 'encoder.layer.0.attention.qkv.weight'
_RULES = (
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^encoder\.layer\.(\d+)\.attention\.', r'blocks.\1.attn.'),
    (r'^encoder\.layer\.', 'blocks.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks project query, key and value at once and the patch embedding stands under 'embeddings'."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and 'embeddings.projection.weight' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``."""
    return rename(strip_prefix(state_dict, ANCHOR), _RULES)


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win."""
    weights = convert(state_dict)
    convolved = {int(name.split('.')[1]) for name in weights if name.startswith('blocks.') and '.residual.' in name}
    return implied_options(weights, known, conv_blocks=tuple(sorted(convolved)) or None)
