"""The image towers of OpenAI's CLIP and of OpenCLIP (`visual.transformer.resblocks`)."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.perception import has_own_signs
from .parts.renaming import rename

ANCHOR = 'conv1.weight'
BLOCK = 'transformer.resblocks.0.attn.in_proj_weight'
_SETTINGS_OF_OPENAI = ('input_resolution', 'context_length', 'vocab_size')
RULES = (
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
    """Whether there is one patch embedding with the blocks of these towers beside it, and the norm before them."""
    return is_tower(state_dict) and 'ln_pre.weight' in strip_prefix(state_dict, ANCHOR)


def is_tower(state_dict: dict[str, Tensor]) -> bool:
    """The same with or without that norm; a Perception Encoder is none."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and {BLOCK, 'positional_embedding'} <= body.keys() and not has_own_signs(body)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the projection into the common space keeps its name."""
    weights = rename(strip_prefix(state_dict, ANCHOR), RULES)
    weights['pos_embed'] = weights['pos_embed'][None]
    weights['cls_token'] = weights['cls_token'].reshape(1, 1, -1)
    return weights


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """OpenAI's files hold settings of their own beside the weights; MetaCLIP and DFN are as OpenAI's without these."""
    return ('clip',) if any(name in state_dict for name in _SETTINGS_OF_OPENAI) else ('openclip', 'datacomp', 'clip')


FORMAT = Format(
    name='CLIP or OpenCLIP',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
)
