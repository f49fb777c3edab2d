"""What the table of pre-trainings says of weights whose family is known, or one of several."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from mmvitdense.pretrainings import ARCHITECTURES, PRETRAININGS

from .sines import sines_of
from .spelling import spelled

PLAIN = ('deit', 'mae', 'augreg', 'dino', 'ibot', 'visualatom', 'exfractaldb')
"""Families of the same blocks, tokens and tables, which names and shapes do not distinguish."""

# What a pre-training computes and weights do not show, and what it is where the table says nothing.
_ABSENT = {
    'final_norm': 'last',
    'pos_resize': None,
    'act': 'gelu',
    'norm_eps': 1e-6,
    'rope': None,
    'qkv_bias': True,
    'layer_scale_init': 1e-5,
    'num_heads': None,
}
FAMILY_OPTIONS = frozenset(_ABSENT)
"""Options that the family of a pre-training settles."""


def plain_families(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The families that a ViT without LayerScale, with a class token and absolute positions, may be of.

    Args:
        weights: Names of `PlainViT`. A register is the distillation token of DeiT.
    """
    if 'register_tokens' in weights:
        return ('deit',)
    kind = sines_of(weights['pos_embed'])
    if kind == 'sincos_mae':
        return mae_families(weights)
    if kind == 'mocov3':
        return ('mae-lite', 'mocov3') if has_size_of_mae_lite(weights) else ('mocov3',)
    return PLAIN


def mae_families(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """MAE, or MAE-Lite where the ViT has its size."""
    return ('mae-lite', 'mae') if has_size_of_mae_lite(weights) else ('mae',)


def has_size_of_mae_lite(weights: Mapping[str, Tensor]) -> bool:
    """Whether the ViT is as narrow and deep as MAE-Lite's, which MAE, MoCo v3 and BEiT have at no size.

    Args:
        weights: Names of `PlainViT`, or of timm.
    """
    return (len(weights['patch_embed.proj.weight']), _depth(weights)) == ARCHITECTURES['tiny'][:2]


def has_size_of_base(weights: Mapping[str, Tensor]) -> bool:
    """Whether the ViT is as wide and deep as the base model, the only size of SimMIM.

    Args:
        weights: Names of `PlainViT`, or of timm.
    """
    return (len(weights['patch_embed.proj.weight']), _depth(weights)) == ARCHITECTURES['base'][:2]


def _depth(weights: Mapping[str, Tensor]) -> int:
    return len({name.split('.')[1] for name in weights if name.startswith('blocks.')})


def families_with(families: Collection[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of the families whose networks have the activation in `options`; all where none or all have it."""
    act = options.get('act')
    kept = [family for family in families if PRETRAININGS[family].options.get('act', _ABSENT['act']) == act]
    return tuple(kept or families)


def options_of_families(families: Collection[str], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options of `PlainViT` from the table: those of the first family, where one of them has any.

    Args:
        families: Which the weights may be of, the likeliest first.
        weights: Names of `PlainViT`.
    """
    options = {}
    for key, values in _values(families, weights).items():
        value = next(iter(values.values()))
        if value is not None:
            options[key] = value
    if options.get('qkv_bias') == 'qv' and _has_key_bias(weights):
        options['qkv_bias'] = True  # trained further by code that has one
    return options


def guesses_of_families(
    families: Collection[str], weights: Mapping[str, Tensor], known: Collection[str] = ()
) -> dict[str, str]:
    """{option: why it is a guess} for what the families do not agree on, and the layout does not know."""
    guesses = {}
    for key, values in _values(families, weights).items():
        owners: dict[str, list[str]] = {}
        for family, value in values.items():
            owners.setdefault('none given' if value is None else spelled(value), []).append(family)
        # Weights hold the gains, whatever they started from.
        if len(owners) > 1 and key not in known and key != 'layer_scale_init':
            first, *others = owners.items()
            rest = ', '.join(f'{value} is that of {" and ".join(names)}' for value, names in others)
            guesses[key] = f'that of {" and ".join(first[1])}, which nothing distinguishes from others; {rest}'
    return guesses


def _values(families: Collection[str], weights: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """{option: {family: its value}} for options that act on these weights and that one of the families has."""
    width = weights['patch_embed.proj.weight'].shape[0]
    tables = {family: _of_size(family, width, _depth(weights)) for family in families}
    keys = [key for key in _acting(weights) if any(key in options for options in tables.values())]
    values = {key: {family: options.get(key, _ABSENT[key]) for family, options in tables.items()} for key in keys}
    if 'num_heads' in values:  # families without a size of this width have nothing to say
        values['num_heads'] = {family: heads for family, heads in values['num_heads'].items() if heads is not None}
    return values


def _of_size(family: str, width: int, depth: int) -> dict[str, Any]:
    """The options of a family, with those of its size of this width, if possible of this depth, where there is one."""
    pretraining, found = PRETRAININGS[family], {}
    for size in pretraining.sizes.values():
        embed_dims, num_layers, num_heads, _ = ARCHITECTURES[size.get('arch', 'base')]
        if size.get('embed_dims', embed_dims) != width:
            continue
        same_depth = size.get('num_layers', num_layers) == depth
        if same_depth or not found:
            found = {'num_heads': num_heads, **size}
        if same_depth:
            break
    return {**pretraining.options, **found}


def _acting(weights: Mapping[str, Tensor]) -> list[str]:
    needed = {
        'final_norm': 'norm.weight',
        'pos_resize': 'pos_embed',
        'act': 'blocks.0.mlp.fc1.weight',
        'qkv_bias': 'blocks.0.attn.qkv.bias',
        'layer_scale_init': 'blocks.0.ls1.gamma',
    }
    return [key for key in _ABSENT if key not in needed or needed[key] in weights]


def _has_key_bias(weights: Mapping[str, Tensor]) -> bool:
    biases = [x for name, x in weights.items() if name.endswith('attn.qkv.bias') and not x.is_meta]
    return any(bool(bias.chunk(3)[1].any()) for bias in biases)
