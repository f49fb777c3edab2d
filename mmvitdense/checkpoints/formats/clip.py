"""The image towers of OpenAI's CLIP and of OpenCLIP (``visual.transformer.resblocks``)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .parts.implied_options import implied_options
from .parts.renaming import rename

NAME = 'CLIP or OpenCLIP'
ANCHOR = 'conv1.weight'
BLOCK = 'transformer.resblocks.0.attn.in_proj_weight'
_SETTINGS_OF_OPENAI = ('input_resolution', 'context_length', 'vocab_size')
_RULES = (
    (r'^class_embedding$', 'cls_token'),
    (r'^positional_embedding$', 'pos_embed'),
    (r'^conv1\.', 'patch_embed.proj.'),
    (r'^ln_pre\.', 'norm_pre.'),
    (r'^ln_post\.', 'norm.'),
    (r'^transformer\.resblocks\.', 'blocks.'),
    (r'^(blocks\.\d+\.)ln_([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.)attn\.in_proj_(weight|bias)$', r'\1attn.qkv.\2'),
    (r'^(blocks\.\d+\.)attn\.out_proj\.', r'\1attn.proj.'),
    (r'^(blocks\.\d+\.)mlp\.c_fc\.', r'\1mlp.fc1.'),
    (r'^(blocks\.\d+\.)mlp\.c_proj\.', r'\1mlp.fc2.'),
    (r'^(blocks\.\d+\.)ls_([12])\.gamma$', r'\1ls\2.gamma'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one patch embedding with the blocks of these towers beside it."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and {BLOCK, 'positional_embedding'} <= body.keys()


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; the projection into the common space keeps its name."""
    weights = rename(strip_prefix(state_dict, ANCHOR), _RULES)
    weights['pos_embed'] = weights['pos_embed'][None]
    weights['cls_token'] = weights['cls_token'].reshape(1, 1, -1)
    return weights


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``known`` ones win.

    OpenAI's files hold settings of their own beside the weights, and have QuickGELU. All others are of OpenCLIP.
    """
    weights = convert(state_dict)
    act = 'quick_gelu' if _is_openai(state_dict) else 'gelu'
    return implied_options(weights, known, norm_eps=1e-5, act=act, pos_resize={'antialias': True})


def guesses(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The activation, which differs among the models of OpenCLIP."""
    if _is_openai(state_dict):
        return {}
    return {'act': "that of most models of OpenCLIP; those of OpenAI, MetaCLIP and DFN have 'quick_gelu'"}


def _is_openai(state_dict: dict[str, Tensor]) -> bool:
    return any(name in state_dict for name in _SETTINGS_OF_OPENAI)
