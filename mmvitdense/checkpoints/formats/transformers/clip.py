"""The image towers of CLIP and SigLIP in ``transformers``, alone or in the model of both towers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.parts.implied_options import implied_options
from mmvitdense.checkpoints.formats.parts.renaming import QKV, rename, stack

NAME = 'transformers CLIP or SigLIP'
ANCHOR = 'embeddings.patch_embedding.weight'
_HEADS_OF_SIGLIP = {1536: 16}
_RULES = (
    (r'^embeddings\.class_embedding$', 'cls_token'),
    (r'^embeddings\.position_embedding\.weight$', 'pos_embed'),
    (r'^embeddings\.patch_embedding\.', 'patch_embed.proj.'),
    (r'^pre_layrnorm\.', 'norm_pre.'),  # spelled so
    (r'^post_layernorm\.', 'norm.'),
    (r'^encoder\.layers\.', 'blocks.'),
    (r'^(blocks\.\d+\.)layer_norm([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.)self_attn\.([qkv])_proj\.', r'\1attn.\2.'),
    (r'^(blocks\.\d+\.)self_attn\.out_proj\.', r'\1attn.proj.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one patch embedding with the blocks of these towers beside it."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and 'encoder.layers.0.self_attn.q_proj.weight' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; heads of the tower keep their names."""
    body = strip_prefix(state_dict, ANCHOR)
    weights = rename({name: tensor for name, tensor in body.items() if not name.endswith('position_ids')}, _RULES)
    weights['pos_embed'] = weights['pos_embed'][None]
    if 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'].reshape(1, 1, -1)
    return stack(weights, QKV, 'attn.qkv')


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``: OpenAI's CLIP where a norm precedes the blocks, else SigLIP; ``known`` ones win."""
    weights = convert(state_dict)
    if 'norm_pre.weight' in weights:
        return implied_options(weights, known, norm_eps=1e-5, act='quick_gelu')
    heads = _HEADS_OF_SIGLIP.get(weights['pos_embed'].shape[-1])
    return implied_options(weights, known, act='gelu_tanh', num_heads=heads)


def guesses(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The activation of CLIP."""
    if 'norm_pre.weight' not in convert(state_dict):
        return {}
    return {'act': "that of OpenAI; LAION's CLIP has the exact 'gelu' (hidden_act in config.json tells)"}
