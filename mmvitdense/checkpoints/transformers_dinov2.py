"""DINOv2 of ``transformers``, with and without registers, with plain and gated feed-forward networks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .implied_options import implied_options
from .transformers_names import body_of, convert_body, has_blocks

NAME = 'transformers DINOv2'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and there is a table of positions."""
    body = body_of(state_dict)
    return has_blocks(body, 'layer_scale1.lambda1') and 'embeddings.position_embeddings' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; mask token and classifiers keep their names."""
    return convert_body(body_of(state_dict))


def options(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Options of ``PlainViT``, with the rule that DINOv2 itself resizes positions by (``transformers`` has another)."""
    weights = convert(state_dict)
    if 'register_tokens' in weights:
        resize = {'by': 'size', 'offset': 0.0, 'antialias': True}
    else:
        resize = {'by': 'scale', 'offset': 0.1, 'antialias': False}
    return implied_options(weights, pos_resize=resize)
