"""Files whose names are those of a known format, and whose model computes what `PlainViT` does not."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import radio
from .parts.timm_names import block_names, body_of
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


def why_refused(state_dict: dict[str, Tensor]) -> str | None:
    """One sentence for a file that would load and compute something else; None for all others."""
    if any('ToTokenSequence_0/' in name for name in state_dict):
        return _TIPS_OF_JAX
    if strip_prefix(state_dict, radio.ANCHOR) and any('.parametrizations.weight.' in name for name in state_dict):
        return _REPARAMETRISED
    if any(name.rpartition('.')[2] in ('lamb', 'lamb1', 'lamb2') for name in state_dict):
        return _SCALED
    body = body_of(state_dict)
    if body is not None and any(name.startswith('patch_embed.backbone.') for name in body):
        return _HYBRID
    # The first blocks of a Hiera are named as those of a ViT without a class token.
    if body is not None and 'proj.weight' in block_names(body):
        return HIERA
    return None
