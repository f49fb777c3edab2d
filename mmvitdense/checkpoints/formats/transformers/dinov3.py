"""DINOv3 of ``transformers`` (``DINOv3ViTModel``), with plain and gated feed-forward networks."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.parts.implied_options import implied_options

from .names import body_of, convert_body, has_blocks

NAME = 'transformers DINOv3'
ANCHOR = 'embeddings.patch_embeddings.weight'
_HEADS = {1280: 20}


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and the patch embedding is a bare convolution."""
    return has_blocks(body_of(state_dict, ANCHOR), 'layer_scale1.lambda1')


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; the mask token and classifiers keep their names."""
    return convert_body(body_of(state_dict, ANCHOR))


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win."""
    weights = convert(state_dict)
    width = weights['patch_embed.proj.weight'].shape[0]
    return implied_options(
        weights,
        known,
        num_heads=_HEADS.get(width),
        # Keys have no bias; the largest model has none at all.
        qkv_bias='qv' if 'blocks.0.attn.qkv.bias' in weights else None,
        norm_eps=1e-5,
        rope={'kind': 'dinov3'},
    )
