"""The findings of the doctor as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .compare import Comparison
from .config import ConfigFit, share_as_text
from .diagnosis import Diagnosis
from .positions import position_as_text

_SHOWN = 6


def report_as_text(found: Diagnosis, fit: ConfigFit | None = None, comparison: Comparison | None = None) -> str:
    """What was found of a file, of a config with it, and of it and another."""
    lines = [f'{title + ":":12} {text}' for title, text in _of_file(found)]
    lines += ['', 'config lines:', *(f'  {line}' for line in found.config.splitlines())]
    if fit is not None:
        lines += ['', *(f'{title + ":":12} {text}' for title, text in _of_config(fit))]
    if comparison is not None:
        lines += ['', *(f'{title + ":":12} {text}' for title, text in _of_comparison(comparison))]
    return '\n'.join(lines)


def _of_file(found: Diagnosis) -> Iterator[tuple[str, str]]:
    yield 'file', found.file
    yield 'layout', f'{found.layout}: {found.about}'
    if found.lacks:
        yield 'lacks', f'the weights of its ViT ({found.lacks})'
    yield 'family', f'{", ".join(found.families) or "unknown"} ({found.certainty}: {found.why})'
    if found.presets:
        yield 'presets', ', '.join(found.presets)
    elif found.model == 'PlainViT':
        yield 'presets', 'none takes these weights'
    if found.sizes:
        yield 'sizes', ', '.join(f'{name}={value!r}' for name, value in found.sizes.items())
        token = 'a class token' if found.tokens['class_token'] else 'no class token'
        registers = found.tokens['registers']
        yield 'tokens', f'{token}, {registers or "no"} register{"" if registers == 1 else "s"}'
        yield 'positions', '; '.join(map(position_as_text, found.positions)) or 'none'
    for name, fact in found.facts.items():
        mean, std = ([round(value, 3) for value in fact[key]] for key in ('mean', 'std'))
        channels = 'RGB' if len(mean) > 1 else f'bands {" ".join(fact["bands"]["names"])}' if 'bands' in fact else 'all'
        yield name, f'mean={mean} std={std} ({channels}), licence {fact["licence"]}, {fact["source"]}'
    types = ', '.join(found.dtypes)
    yield 'parameters', f'{found.parameters["vit"]:,} of the ViT, {found.parameters["file"]:,} in the file ({types})'
    if found.containers:
        yield 'weights in', '.'.join(found.containers)
    if found.parts:
        yield 'other parts', _listed([f'{name} ({count:,})' for name, count in found.parts.items()])
    if found.ema_copies:
        yield 'averages', f"{found.ema_copies} copies 'ema_*' of the weights"
    if found.beside:
        yield 'beside', _listed([f'{key}: {what}' for key, what in found.beside.items()])
    for path, guess in found.guesses.items():
        yield 'a guess', f'{path}{"=" + guess["value"] if "value" in guess else " as by default"}: {guess["why"]}'
    if found.not_finite:
        yield 'NaN', _listed([f'{name} ({count:,} NaN or infinite)' for name, count in found.not_finite.items()])
    for note in found.notes:
        yield 'note', note


def _of_config(fit: ConfigFit) -> Iterator[tuple[str, str]]:
    yield 'config', fit.config
    yield 'verdict', fit.verdict
    if not fit.fits:
        return
    yield 'takes', f'{fit.loaded:,} of {fit.parameters:,} parameters of {fit.part} ({share_as_text(fit.coverage)})'
    if fit.whole_model is not None:
        yield 'as load_from', f'{share_as_text(fit.whole_model)} of the parameters of the whole model'
    for title, names in (('resized', fit.resized), ('missing', fit.missing), ('left over', fit.left_over)):
        if names:
            yield title, _listed(names)
    for warning in fit.warnings:
        yield 'warning', warning


def _of_comparison(found: Comparison) -> Iterator[tuple[str, str]]:
    yield 'compared to', found.other
    yield 'verdict', found.verdict
    if found.weights is not None:
        yield 'weights', f'{found.compared} in both, differing by at most {found.weights:.2g} ({found.worst})'
    if found.features is not None:
        yield 'features', f'of an image, differing by {found.features:.2g} of their deviation (root mean square)'
    elif found.why_no_features:
        yield 'features', f'not computed, {found.why_no_features}'
    for title, names in (('first only', found.only_in_first), ('second only', found.only_in_second)):
        if names:
            yield title, _listed(names)
    if found.not_finite:
        yield 'NaN', f'the differences of {_listed(found.not_finite)}'
    if found.other_shape:
        yield 'shapes', _listed([_shapes(name, pair) for name, pair in found.other_shape.items()])
    if found.options:
        yield 'options', _options(found.options)


def _shapes(name: str, pair: Sequence[Sequence[int]]) -> str:
    return f'{name} {tuple(pair[0])} and {tuple(pair[1])}'


def _options(pairs: Mapping[str, Sequence[str]]) -> str:
    return ', '.join(f'{name}: {first} and {second}' for name, (first, second) in pairs.items())


def _listed(names: Sequence[str]) -> str:
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more
