"""C-RADIOv3 and v4 as NVIDIA publishes them: blocks of timm behind a patch generator of their own.

The table of positions is that of images of 2048 pixels. Tokens for the summaries of each teacher and registers are one
table without positions, of which the first row is taken for the class token, as timm does. Heads and adaptors of
teachers are beside the ViT, and are dropped with their prefix.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format, Pixels
from .parts.linear_patches import kernel_of_linear
from .parts.renaming import rename

ANCHOR = 'patch_generator.embedder.weight'
_GENERATOR = 'patch_generator.'
_TOKENS = 'patch_generator.cls_token.token'
_MEAN, _DEVIATION = 'input_conditioner.norm_mean', 'input_conditioner.norm_std'
VERSIONS = {8: 'c-radiov3', 10: 'c-radiov4'}
"""{rows of the table of tokens: the version}."""
# Widths of models of version 3 that have LayerScale.
_SCALED = (768, 1024)
_BLOCK = re.compile(
    r'blocks\.\d+\.((norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|ls[12]\.(gamma|grandma)'
    r'|layer_scale[12]\.lambda1)'
)
_RULES = (
    (r'\.grandma$', '.gamma'),
    (r'\.layer_scale([12])\.lambda1$', r'.ls\1.gamma'),  # as transformers writes it
    (r'^patch_generator\.pos_embed$', 'pos_embed'),
    (r'^patch_generator\.embedder\.', 'patch_embed.proj.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one patch generator with tokens of its own and plain blocks beside it."""
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or not {_TOKENS, f'{_GENERATOR}pos_embed', 'blocks.0.attn.qkv.weight'} <= body.keys():
        return False
    return all(_BLOCK.fullmatch(name) for name in body if name.startswith('blocks.'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; an embedding of videos keeps its name."""
    weights = rename(strip_prefix(state_dict, ANCHOR), _RULES)
    weights['patch_embed.proj.weight'] = kernel_of_linear(weights['patch_embed.proj.weight'], colours_first=True)
    return with_tokens(weights, weights.pop(_TOKENS))


def with_tokens(weights: dict[str, Tensor], tokens: Tensor) -> dict[str, Tensor]:
    """Add a table of tokens as class token and registers, and the bias of the patch embedding that RADIO lacks.

    Gains that are all one, which transformers has where there is no LayerScale, are taken out.
    """
    gains = [name for name in weights if name.endswith(('.ls1.gamma', '.ls2.gamma'))]
    if all(not weights[name].is_meta and bool((weights[name] == 1).all()) for name in gains):
        weights = {name: tensor for name, tensor in weights.items() if name not in gains}
    kernel = weights['patch_embed.proj.weight']
    weights.setdefault('patch_embed.proj.bias', torch.zeros_like(kernel[:, 0, 0, 0]))
    return {**weights, 'cls_token': tokens[None, :1], 'register_tokens': tokens[None, 1:]}


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """The version by the number of tokens, see `families_of`."""
    return families_of(convert(state_dict))


def families_of(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """The version of RADIO, given names of `PlainViT`; none for earlier ones, whose licence is another.

    They have as many tokens as version 3, and no LayerScale in the base and large model.
    """
    family = VERSIONS.get(1 + weights['register_tokens'].shape[1])
    width = weights['patch_embed.proj.weight'].shape[0]
    if family == 'c-radiov3' and width in _SCALED and 'blocks.0.ls1.gamma' not in weights:
        return ()
    return () if family is None else (family,)


def implied_of(weights: dict[str, Tensor]) -> dict[str, Any]:
    """The rule of RADIO where the version is not known, given names of `PlainViT`."""
    return {} if families_of(weights) else {'pos_resize': {'mode': 'bilinear', 'square': True}}


def unsure_of_corners(weights: dict[str, Tensor]) -> dict[str, str]:
    """Whether corners are aligned where positions are resized is a guess, given names of `PlainViT`."""
    if families_of(weights) == ('c-radiov4',):
        return {}
    return {
        'pos_resize': 'the code on the hub has align_corners=True for the base and huge model of version 3, and False '
        'for the others'
    }


def notes(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """What follows the ViT and changes the published features."""
    if any('_feature_normalizer.' in name for name in state_dict):
        return (
            'the published model multiplies its last features by the matrix of a feature normalizer, which is left '
            'out: these are the features before it',
        )
    return ()


def pixels(state_dict: dict[str, Tensor]) -> Pixels | None:
    """Those of the input conditioner; the file has them for pixels in 0..1."""
    found = [next((x for name, x in state_dict.items() if name.endswith(part)), None) for part in (_MEAN, _DEVIATION)]
    if any(x is None or x.is_meta for x in found):
        return None
    mean, deviation = (tuple((255 * x.double()).flatten().tolist()) for x in found)
    return mean, deviation


FORMAT = Format(
    name='RADIO',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=lambda state_dict: implied_of(convert(state_dict)),
    cannot_tell=lambda state_dict, options: unsure_of_corners(convert(state_dict)),
    notes=notes,
    pixels=pixels,
)
