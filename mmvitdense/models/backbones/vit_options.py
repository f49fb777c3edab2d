"""Checks of the options of a plain ViT."""

from __future__ import annotations

from numbers import Integral, Real

from mmvitdense.layers.positions.absolute import check_resizing

CHOICES = {
    'pos_embed': ('absolute', 'sine_conv', 'sincos_mae', 'sincos_bv', None),
    'rel_pos': ('decomposed', 'bias', 'bias_shared', None),
    'rel_pos_at': ('pretrain', 'window'),
    'ffn': ('mlp', 'swiglu'),
    'norm': ('layer', 'rms'),
    'final_norm': ('all', 'last', None),
}
_POS_RESIZE = ('by', 'offset', 'antialias', 'mode', 'align_corners', 'square')


def check_sizes(**sizes: int) -> None:
    """Raise ValueError unless each size is a whole number of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f'{name} must be a whole number of at least 1, got {size!r}')


def check_choices(**options: str | None) -> None:
    """Raise ValueError unless each option is one of its `CHOICES`."""
    for name, value in options.items():
        if value not in CHOICES[name]:
            raise ValueError(f'{name} must be one of {CHOICES[name]}, got {value!r}')


def check_norms(norm: str, inner: bool, *epsilons: float) -> None:
    """Raise ValueError for a kind of norm that does not exist, or that the norms inside a block, if there are `inner`
    ones, do not have, and for an epsilon that is no positive number."""
    check_choices(norm=norm)
    if norm == 'rms' and inner:
        raise ValueError("norm='rms' excludes ffn_norm and attn_inner_norm: no published model has both")
    for epsilon in epsilons:
        if not isinstance(epsilon, Real) or not 0 < epsilon < float('inf'):
            raise ValueError(f'norm_eps must be a positive number, such as 1e-6, got {epsilon!r}')


def check_positions(pos_resize: dict | None, rope: dict | None, rel_pos: str | None) -> None:
    """Raise ValueError for options of positions that are unknown or exclude each other."""
    if unknown := sorted(set(pos_resize or {}) - set(_POS_RESIZE)):
        raise ValueError(f'pos_resize has the unknown keys {unknown}: expected some of {_POS_RESIZE}')
    check_resizing(**{key: value for key, value in (pos_resize or {}).items() if key != 'offset'})
    if rope and rel_pos == 'decomposed':
        raise ValueError("rope and rel_pos='decomposed' exclude each other: no published model has both")
