"""Files whose names are those of a known format, and whose model computes what `PlainViT` does not."""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import radio
from .parts.timm_names import body_of
from .strangers import HIERA

_REPARAMETRISED = (
    'the weights are products of others (parametrizations.weight), which this does not multiply out: take the averages '
    "of the same file ('state_dict_ema') or that of the hub, which have whole weights"
)
_SCALED = (
    'these blocks scale the frequencies of their outputs (lamb1, lamb2: feat_scale or attn_scale of OpenMixup), which '
    'PlainViT does not do: take weights that were trained without'
)
_HYBRID = 'the patches of this ViT are made by a convolutional network, which PlainViT does not have: take a plain ViT'
_TIPS_OF_JAX = (
    'this is TIPS in the layout of its JAX code: take the file of the same weights for PyTorch, whose name ends with '
    '_vision.npz'
)
# Layers that change the width, and positions of a window that are added to those of the image.
_OF_HIERA = re.compile(r'^(blocks\.\d+\.proj\.weight|pos_embed_win(dow)?)$')
_AXES = {'patch_embed.proj.weight': (4, 5), 'pos_embed': (3, 4)}
_POSE = (
    'this is a ViTPose, which puts a border of 2 pixels around the image before it makes patches, so that these lie 2 '
    'pixels higher and further left than those of PlainViT: take the weights of MAE from which it was trained'
)
# Of the official code, and of transformers (those of its `ViTModel` with a network of another name).
_POSE_NAMES = ('patch_embed.proj.weight', 'last_norm.weight', 'pos_embed')
_POSE_IN_TRANSFORMERS = (
    *('embeddings.patch_embeddings.projection.weight', 'embeddings.position_embeddings'),
    *('encoder.layer.0.layernorm_before.weight', 'encoder.layer.0.mlp.fc1.weight'),
)


def why_refused(state_dict: dict[str, Tensor]) -> str | None:
    """One sentence for a file that would load and compute something else; None for all others."""
    if any('ToTokenSequence_0/' in name for name in state_dict):
        return _TIPS_OF_JAX
    if strip_prefix(state_dict, radio.ANCHOR) and any('.parametrizations.weight.' in name for name in state_dict):
        return _REPARAMETRISED
    if any(name.rpartition('.')[2] in ('lamb', 'lamb1', 'lamb2') for name in state_dict):
        return _SCALED
    if _is_pose(state_dict):
        return _POSE
    if reason := _of_other_axes(state_dict):
        return reason
    # The first blocks of a Hiera are named as those of a ViT without a class token.
    if any(_OF_HIERA.search(name) for name in strip_prefix(state_dict, 'blocks.0.attn.qkv.weight') or ()):
        return HIERA
    body = body_of(state_dict)
    if body is not None and any(name.startswith('patch_embed.backbone.') for name in body):
        return _HYBRID
    return None


def _of_other_axes(state_dict: dict[str, Tensor]) -> str | None:
    """A sentence for kernels of patches, or positions, of a number of axes that no code of a ViT gives them."""
    body = strip_prefix(state_dict, 'blocks.0.attn.qkv.weight') or {}
    # Without a matrix there are names alone, of which nothing but the layout is asked.
    is_vit = 'patch_embed.proj.weight' in body and body['blocks.0.attn.qkv.weight'].ndim > 1
    for name, axes in _AXES.items() if is_vit else ():
        if name in body and body[name].ndim not in axes:
            return (
                f'{name} has {body[name].ndim} axes, and {" or ".join(map(str, axes))} in the codes of ViTs: save the '
                'state dict of the model as it is'
            )
    return None


def _is_pose(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is a ViTPose, which has no class token, with or without its head and a prefix."""
    for names in (_POSE_NAMES, _POSE_IN_TRANSFORMERS):
        body = strip_prefix(state_dict, names[0])
        if body is not None and set(names) <= body.keys() and not any('cls_token' in name for name in body):
            return True
    return False
