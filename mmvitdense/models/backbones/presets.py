"""Options of `PlainViT` by the name of a pre-training, such as 'dinov2-base'."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any, ParamSpec

from mmvitdense.pretrainings import PRESETS, PRETRAININGS

from .vit_sizes import resolve_sizes

_SIZES = ('arch', 'embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
_WIDTH_AND_DEPTH = ('embed_dims', 'num_layers')
_Arguments = ParamSpec('_Arguments')


def preset_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Complete options by a preset.

    Args:
        name: A name in `PRESETS`.
        given: Options that win over those of the preset. An `arch` replaces all sizes. With another `patch_size`
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


def structure_of(preset: str) -> dict[str, Any]:
    """What the names and shapes of weights of this pre-training show, as `checkpoints.structure` reads it off them.

    Parts are there or not; 'registers' is a number, 'relative' a kind of relative positions, 'rope' of rotary
    ones, and 'cls_row' whether the table of positions has a row for the class token (None without table, and with
    registers, whose files come with and without it).
    """
    options = PRESETS[preset]
    embed_dims, num_layers, *_ = resolve_sizes(*(options.get(name) for name in _SIZES))
    pos_embed = options.get('pos_embed', 'absolute')
    has_table = pos_embed == 'absolute'
    cls_token = options.get('with_cls_token', False)
    relative = options.get('rel_pos')
    row_counts = has_table and 'num_registers' not in options
    return {
        'embed_dims': embed_dims,
        'num_layers': num_layers,
        'in_channels': options.get('in_channels', 3),
        'cls_token': cls_token,
        'registers': options.get('num_registers', 0),
        'positions': has_table,
        'cls_row': options.get('pos_embed_cls_slot', cls_token) if row_counts else None,
        'sine_conv': pos_embed == 'sine_conv',
        'value_conv': bool(options.get('value_conv')),
        'relative': 'bias' if relative == 'bias_shared' else relative,
        'rope': options.get('rope', {}).get('kind'),
        'pre_norm': options.get('pre_norm', False),
        'stem': options.get('stem') is not None,
        'patch_bias': options.get('patch_bias', True),
        'patch_norm': options.get('patch_norm', False),
        'rms_norm': options.get('norm') == 'rms',
        'proj_free_of_bias': not options.get('proj_bias', True),
        'layer_scale': options.get('layer_scale_init') is not None,
        'gated': options.get('ffn') == 'swiglu',
        'ffn_norm': options.get('ffn_norm', False),
        'attn_inner_norm': options.get('attn_inner_norm', False),
        'qkv_bias': options.get('qkv_bias', True) is not False,
    }


def fitting_presets(structure: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, list[str]]:
    """The pre-trainings that weights of a structure may be of.

    Args:
        structure: What weights show, keys as in `structure_of`.
        ignored: Keys that do not count.

    Returns:
        {family: its presets of the width and depth given}. Sizes do not decide whether a family fits, other sizes of it
        may exist.
    """
    families = {}
    for family, pretraining in PRETRAININGS.items():
        theirs = {preset: structure_of(preset) for preset in (f'{family}-{size}' for size in pretraining.sizes)}
        differing = {
            preset: {key for key, value in structure.items() if key not in ignored and known[key] != value}
            for preset, known in theirs.items()
        }
        if any(keys <= set(_WIDTH_AND_DEPTH) for keys in differing.values()):
            families[family] = [preset for preset, keys in differing.items() if not keys]
    return families


def takes_preset(init: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Let the options of a constructor that the caller does not give be those of the argument `preset`.

    The constructor has this argument itself, so that its signature says so.
    """

    @wraps(init)
    def completed(self: object, arch: str | None = None, *, preset: str | None = None, **options: Any) -> None:
        if arch is not None:
            options['arch'] = arch
        init(self, preset=preset, **(options if preset is None else preset_options(preset, options)))

    return completed
