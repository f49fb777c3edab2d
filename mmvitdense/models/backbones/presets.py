"""Options of ``PlainViT`` by the name of a pre-training, such as 'dinov2-base'."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

from .vit_sizes import resolve_sizes

_SIZES = ('arch', 'embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
_WIDTH_AND_DEPTH = ('embed_dims', 'num_layers')

_CLS = {'with_cls_token': True}
# The rule that timm and OpenCLIP resize positions by.
_SMOOTH = {'pos_resize': {'antialias': True}}
_DEIT3 = {**_CLS, 'pos_embed_cls_slot': False, 'layer_scale_init': 1e-6}
_DINO = {**_CLS, 'pos_resize': {'by': 'scale'}}
_DINOV2 = {**_DINO, 'patch_size': 14, 'pretrain_img_size': 518, 'layer_scale_init': 1e-5, 'final_norm': 'all'}
_DINOV2_REG = {**_DINOV2, **_SMOOTH, 'num_registers': 4}
# Its second class token is a register: nothing reads it, and it has no position.
_TIPS = {
    **_DINOV2,
    'pos_resize': {'mode': 'bilinear', 'antialias': True},
    'num_registers': 1,
    'pretrain_img_size': 448,
    'layer_scale_init': 1.0,
}
_DINOV3 = {
    **_CLS,
    'num_registers': 4,
    'pos_embed': None,
    'rope': {'kind': 'dinov3'},
    'qkv_bias': 'qv',
    'layer_scale_init': 1e-5,
    'norm_eps': 1e-5,
    'final_norm': 'all',
}
_BEIT = {**_CLS, 'pos_embed': None, 'rel_pos': 'bias', 'pretrain_img_size': 224, 'qkv_bias': 'qv'}
_SAM = {'img_size': 1024, 'pretrain_img_size': 1024, 'window_size': 14, 'rel_pos': 'decomposed'}
_OPENCLIP = {**_CLS, **_SMOOTH, 'patch_bias': False, 'pre_norm': True, 'norm_eps': 1e-5}
_CLIP = {**_OPENCLIP, 'act': 'quick_gelu'}
_SIGLIP = {'act': 'gelu_tanh'}
_EVA02 = {
    **_CLS,
    'patch_size': 14,
    'pretrain_img_size': 224,
    'rope': {'kind': 'eva02'},
    'qkv_bias': 'qv',
    'ffn': 'swiglu',
}
_GIANT = {'embed_dims': 1536, 'num_layers': 40, 'num_heads': 24, 'feedforward_channels': 4096, 'ffn': 'swiglu'}
_SO400M = {'embed_dims': 1152, 'num_layers': 27, 'num_heads': 16, 'feedforward_channels': 4304}


def _of(*archs: str, **options: Any) -> dict[str, dict[str, Any]]:
    return {arch: {'arch': arch, **options} for arch in archs}


_FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    'mae': {**_of('base', 'large', **_CLS), **_of('huge', **_CLS, patch_size=14)},
    'deit': _of('tiny', 'small', 'base', **_CLS),
    'deit3': {**_of('small', 'base', 'large', **_DEIT3), **_of('huge', **_DEIT3, patch_size=14)},
    'augreg': _of('tiny', 'small', 'base', 'large', **_CLS, **_SMOOTH),
    'dino': _of('small', 'base', **_DINO),
    'ibot': _of('small', 'base', 'large', **_DINO),
    'mocov3': {**_of('small', **_CLS, num_heads=12), **_of('base', **_CLS)},
    'simmim': _of('base', **{**_BEIT, 'rel_pos': 'bias_shared'}, layer_scale_init=0.1),
    'beit': {**_of('base', **_BEIT, layer_scale_init=0.1), **_of('large', **_BEIT, layer_scale_init=1e-5)},
    'beitv2': {**_of('base', **_BEIT, layer_scale_init=0.1), **_of('large', **_BEIT, layer_scale_init=1e-5)},
    'dinov2': {**_of('small', 'base', 'large', **_DINOV2), 'giant': {**_DINOV2, **_GIANT}},
    'dinov2-reg': {**_of('small', 'base', 'large', **_DINOV2_REG), 'giant': {**_DINOV2_REG, **_GIANT}},
    'tips': {
        **_of('small', 'base', 'large', **_TIPS),
        'so400m': {**_TIPS, **_SO400M},
        'giant': {**_TIPS, **_GIANT},
    },
    'dinov3': {
        **_of('small', 'base', 'large', **_DINOV3),
        'small-plus': {'arch': 'small', **_DINOV3, 'ffn': 'swiglu'},
        'huge-plus': {'arch': 'huge', 'num_heads': 20, **_DINOV3, 'ffn': 'swiglu'},
        '7b': {
            **_DINOV3,
            'embed_dims': 4096,
            'num_layers': 40,
            'num_heads': 32,
            'feedforward_channels': 8192,
            'ffn': 'swiglu',
            'qkv_bias': False,
        },
    },
    'sam': _of('base', 'large', 'huge', **_SAM),
    'clip': {
        'base-patch16': {'arch': 'base', **_CLIP},
        'base-patch32': {'arch': 'base', 'patch_size': 32, **_CLIP},
        'large-patch14': {'arch': 'large', 'patch_size': 14, **_CLIP},
        'large-patch14-336': {'arch': 'large', 'patch_size': 14, 'pretrain_img_size': 336, **_CLIP},
    },
    'openclip': {
        'base-patch16': {'arch': 'base', **_OPENCLIP},
        'base-patch32': {'arch': 'base', 'patch_size': 32, **_OPENCLIP},
        'large-patch14': {'arch': 'large', 'patch_size': 14, **_OPENCLIP},
        'huge-patch14': {'arch': 'huge', 'patch_size': 14, **_OPENCLIP},
    },
    'siglip': {
        'base-patch16': {'arch': 'base', **_SIGLIP},
        'large-patch16': {'arch': 'large', 'pretrain_img_size': 256, **_SIGLIP},
        'so400m-patch14': {**_SO400M, 'patch_size': 14, 'pretrain_img_size': 384, **_SIGLIP},
    },
    'eva02': {
        **_of('tiny', **_EVA02, feedforward_channels=512),
        **_of('small', **_EVA02, feedforward_channels=1024),
        **_of('base', **_EVA02, feedforward_channels=2048, ffn_norm=True),
        **_of('large', **_EVA02, feedforward_channels=2730, ffn_norm=True),
    },
}
PRESETS: dict[str, dict[str, Any]] = {
    f'{family}-{size}': {'patch_size': 16, 'pretrain_img_size': 224, **options}
    for family, sizes in _FAMILIES.items()
    for size, options in sizes.items()
}
"""{name: options of ``PlainViT`` that compute what the pre-training computed}."""


def preset_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Complete options by a preset.

    Args:
        name: A name in ``PRESETS``.
        given: Options that win over those of the preset. An ``arch`` replaces all sizes. With another ``patch_size``
            the table of positions keeps its grid, as the weights have it.

    Raises:
        ValueError: There is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got '{name}'")
    options = dict(PRESETS[name])
    given = {key: value for key, value in given.items() if key not in _SIZES or value is not None}
    if 'arch' in given:
        options = {key: value for key, value in options.items() if key not in _SIZES}
    patch_size = given.get('patch_size', options['patch_size'])
    options['pretrain_img_size'] = options['pretrain_img_size'] // options['patch_size'] * patch_size
    return {**options, **given}


def family_of(preset: str) -> str:
    """The family of a preset, such as 'dinov2-reg' of 'dinov2-reg-small'."""
    return next(family for family, sizes in _FAMILIES.items() if preset in {f'{family}-{size}' for size in sizes})


def structure_of(preset: str) -> dict[str, Any]:
    """What the names and shapes of weights of this pre-training tell, as ``checkpoints.structure`` reads it off them.

    Parts are told as there or not; 'registers' is a number, 'relative' a kind of relative positions, 'rope' of rotary
    ones, and 'cls_row' whether the table of positions has a row for the class token (None without table, and with
    registers, whose files come with and without it).
    """
    options = PRESETS[preset]
    embed_dims, num_layers, *_ = resolve_sizes(*(options.get(name) for name in _SIZES))
    has_table = options.get('pos_embed', 'absolute') is not None
    cls_token = options.get('with_cls_token', False)
    relative = options.get('rel_pos')
    row_counts = has_table and 'num_registers' not in options
    return {
        'embed_dims': embed_dims,
        'num_layers': num_layers,
        'cls_token': cls_token,
        'registers': options.get('num_registers', 0),
        'positions': has_table,
        'cls_row': options.get('pos_embed_cls_slot', cls_token) if row_counts else None,
        'relative': 'bias' if relative == 'bias_shared' else relative,
        'rope': options.get('rope', {}).get('kind'),
        'pre_norm': options.get('pre_norm', False),
        'patch_bias': options.get('patch_bias', True),
        'layer_scale': options.get('layer_scale_init') is not None,
        'gated': options.get('ffn') == 'swiglu',
        'ffn_norm': options.get('ffn_norm', False),
        'attn_inner_norm': options.get('attn_inner_norm', False),
        'qkv_bias': options.get('qkv_bias', True) is not False,
    }


def fitting_presets(structure: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, list[str]]:
    """The pre-trainings that weights of a structure may be of.

    Args:
        structure: What weights tell of themselves, keys as in ``structure_of``.
        ignored: Keys that do not count.

    Returns:
        {family: its presets of the width and depth told}. Sizes do not decide whether a family fits, other sizes of it
        may exist.
    """
    families = {}
    for family, sizes in _FAMILIES.items():
        theirs = {preset: structure_of(preset) for preset in (f'{family}-{size}' for size in sizes)}
        differing = {
            preset: {key for key, value in structure.items() if key not in ignored and known[key] != value}
            for preset, known in theirs.items()
        }
        if any(keys <= set(_WIDTH_AND_DEPTH) for keys in differing.values()):
            families[family] = [preset for preset, keys in differing.items() if not keys]
    return families


def presets_of_patch_size(presets: Collection[str], patch_size: int) -> list[str]:
    """Those of some presets that have patches of this side in pixels."""
    return [preset for preset in presets if PRESETS[preset]['patch_size'] == patch_size]


def takes_preset(init: Callable[..., None]) -> Callable[..., None]:
    """Give a constructor the argument ``preset``, whose options are those that the caller does not give.

    The name is kept as the attribute ``preset``, its family as ``preset_family`` and the side of its patches as
    ``preset_patch_size``, against which pre-trained weights are checked.
    """

    @wraps(init)
    def completed(self: object, arch: str | None = None, *, preset: str | None = None, **options: Any) -> None:
        if arch is not None:
            options['arch'] = arch
        init(self, **(options if preset is None else preset_options(preset, options)))
        self.preset, self.preset_family = preset, None if preset is None else family_of(preset)
        self.preset_patch_size = None if preset is None else PRESETS[preset]['patch_size']

    signature = inspect.signature(init)
    argument = inspect.Parameter('preset', inspect.Parameter.KEYWORD_ONLY, default=None, annotation='str | None')
    self, arch, *others = signature.parameters.values()
    completed.__signature__ = signature.replace(parameters=[self, arch, argument, *others])
    return completed
