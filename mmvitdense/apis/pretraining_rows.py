"""The table of pre-trainings in rows of text, for the docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmvitdense.models.backbones.presets import structure_of
from mmvitdense.models.backbones.vit_sizes import resolve_sizes
from mmvitdense.pretrainings import PRESETS, PRETRAININGS

Rows = tuple[list[str], list[list[str]]]

_SIZES = ('arch', 'embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')


def pretraining_rows() -> Rows:
    """Head and rows: what all sizes of a family have in common."""
    head = ['family', 'sizes', 'pixels: mean; deviation', 'licence', 'source', 'checked against']
    rows = []
    for family, known in PRETRAININGS.items():
        mean, deviation = (', '.join(f'{value:.7g}' for value in part) for part in known.pixels)
        source = f'[{known.source}](https://github.com/{known.source})'
        checked = ', '.join(known.checked_against) or '-'
        sizes = ', '.join(known.sizes)
        rows.append([f'`{family}`', sizes, f'{mean}; {deviation}', known.licence, source, checked])
    return head, rows


def preset_rows() -> Rows:
    """Head and rows: sizes, patches, positions and tokens of each preset."""
    head = ['preset', 'width x depth, heads', 'feed-forward', 'patch', 'image', 'positions', 'tokens']
    rows = []
    for preset, options in PRESETS.items():
        width, depth, heads, channels = resolve_sizes(*(options.get(name) for name in _SIZES))
        gated = ', gated' if options.get('ffn') == 'swiglu' else ''
        sizes = [f'{width} x {depth}, {heads}', f'{channels}{gated}']
        pixels = [str(options['patch_size']), str(options['pretrain_img_size'])]
        rows.append([f'`{preset}`', *sizes, *pixels, _positions(preset, options), _tokens(preset)])
    return head, rows


def _positions(preset: str, options: Mapping[str, Any]) -> str:
    parts = structure_of(preset)
    side = options['pretrain_img_size'] // options['patch_size']
    shared = ', shared by the blocks' if options.get('rel_pos') == 'bias_shared' else ''
    kinds = {
        f'table of {side} x {side}': parts['positions'],
        'sines, computed': str(options.get('pos_embed')).startswith('sincos'),
        'sines through a convolution': parts['sine_conv'],
        f'rotary ({parts["rope"]})': parts['rope'],
        f'biases of {side} x {side}{shared}': parts['relative'] == 'bias',
        'decomposed relative tables': parts['relative'] == 'decomposed',
    }
    return ', '.join(kind for kind, there in kinds.items() if there)


def _tokens(preset: str) -> str:
    parts = structure_of(preset)
    registers = f'{parts["registers"]} register{"s" if parts["registers"] > 1 else ""}' if parts['registers'] else ''
    return ', '.join(part for part in ('class' if parts['cls_token'] else '', registers) if part) or '-'
