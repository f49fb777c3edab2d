"""Files whose names are those of a known format, and whose model computes what ``PlainViT`` does not."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import clip
from .parts.timm_names import block_names, body_of
from .strangers import HIERA

_PERCEPTION_ENCODER = (
    'these are the weights of a Perception Encoder, which rotates queries and keys by positions that are not in the '
    'file and that PlainViT does not have: take another pre-training (a CLIP whose last norm was taken away has the '
    'same names: give the file with the norm)'
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
    if _is_perception_encoder(state_dict):
        return _PERCEPTION_ENCODER
    body = body_of(state_dict)
    if body is not None and any(name.startswith('patch_embed.backbone.') for name in body):
        return _HYBRID
    # The first blocks of a Hiera are named as those of a ViT without a class token.
    if body is not None and 'proj.weight' in block_names(body):
        return HIERA
    return None


def _is_perception_encoder(state_dict: dict[str, Tensor]) -> bool:
    """Whether a CLIP has what only Perception Encoders have, or lacks what only they lack.

    Their 'core' models pool by a learned probe, 'lang' and 'spatial' have no last norm, and the largest no class token
    (facebookresearch/perception_models ``core/vision_encoder/pe.py``). In timm's layout they have no bias of the patch
    embedding, as CLIP's, and the same signs.
    """
    body = strip_prefix(state_dict, clip.ANCHOR)
    if body is not None and clip.BLOCK in body:
        lacks_norm = 'ln_pre.weight' in body and 'ln_post.weight' not in body
        return 'attn_pool.probe' in body or 'class_embedding' not in body or lacks_norm
    body = body_of(state_dict)
    if body is None or 'norm_pre.weight' not in body or 'patch_embed.proj.bias' in body:
        return False
    return 'attn_pool.latent' in body or not {'norm.weight', 'fc_norm.weight'} & body.keys()
