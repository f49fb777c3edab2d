"""What the layouts of Perception Encoder have in common: those of CLIP, with rotary positions that are in no file.

The signs are those of facebookresearch/perception_models `core/vision_encoder/config.py`: 'core' models pool by a
learned probe and have a last norm, 'lang' and 'spatial' have neither, and the largest no class token.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

_GIGANTIC = 1536
_DEPTH_OF_SPATIAL = 50


def has_own_signs(body: dict[str, Tensor]) -> bool:
    """Whether a tower under the names of CLIP has what only Perception Encoders have, or lacks what only they lack.

    OpenVision, which has these names too, has no norm before the blocks.
    """
    if 'ln_pre.weight' not in body:
        return False
    return 'attn_pool.probe' in body or 'class_embedding' not in body or 'ln_post.weight' not in body


def has_timm_signs(body: dict[str, Tensor]) -> bool:
    """The same in timm's layout, where CLIP has no bias of the patch embedding either."""
    if 'norm_pre.weight' not in body or 'patch_embed.proj.bias' in body:
        return False
    return 'attn_pool.latent' in body or not {'norm.weight', 'fc_norm.weight'} & body.keys()


def families_of(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """The variant, given names of `PlainViT`; both where nothing says which of two it is."""
    if 'norm.weight' in weights:
        return ('pe-core',)
    if 'blocks.0.ls1.gamma' not in weights:
        return ('pe-spatial',)
    if weights['patch_embed.proj.weight'].shape[0] != _GIGANTIC:
        return ('pe-lang',)
    return ('pe-spatial',) if f'blocks.{_DEPTH_OF_SPATIAL - 1}.ls1.gamma' in weights else ('pe-lang',)


def implied_of(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Indices of patches count from 1 where a class token has 0."""
    return {'rope': {'kind': 'axial', **({'offset': 1} if 'cls_token' in weights else {})}}


def notes_of(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """What of the core models is not meant for maps."""
    if 'norm.weight' not in weights:
        return ()
    return (
        'the last norm of PE-core was trained through the pooling of its tokens, which is left out; PE-spatial is the '
        'one for maps',
    )
