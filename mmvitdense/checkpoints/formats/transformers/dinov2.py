"""DINOv2 of ``transformers``, with and without registers, with plain and gated feed-forward networks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.parts.implied_options import implied_options
from mmvitdense.checkpoints.formats.tips import is_tips

from .names import body_of, convert_body, has_blocks

NAME = 'transformers DINOv2'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and there is a table of positions; not of TIPS."""
    body = body_of(state_dict)
    if not has_blocks(body, 'layer_scale1.lambda1') or 'embeddings.position_embeddings' not in body:
        return False
    return not is_tips(body.get('embeddings.cls_token'), body.get('embeddings.register_tokens'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; mask token and classifiers keep their names."""
    return convert_body(body_of(state_dict))


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win.

    Positions are resized as DINOv2 itself does. ``transformers`` has another rule for models without registers.
    """
    weights = convert(state_dict)
    resize = {'antialias': True} if 'register_tokens' in weights else {'by': 'scale'}
    return implied_options(weights, known, pos_resize=resize)
