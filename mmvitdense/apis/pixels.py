"""Pixels as the pre-training of a model saw them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmvitdense.apis.errors import InputError
from mmvitdense.checkpoints.initializer import LoadedWeights
from mmvitdense.pretrainings import IMAGENET, PRESETS, PRETRAININGS, family_of

_CLOSE = 0.05


def warn_of_pixels(cfg: Any) -> None:
    """Log what `differing_pixels` finds; refuse what `check_channels` does."""
    check_channels(cfg)
    for text in differing_pixels(cfg):
        print_log(text, logger='current', level=logging.WARNING)


def check_channels(cfg: Any) -> None:
    """Refuse means and deviations of another number of channels than the ViT takes; one is that of all channels.

    Raises:
        InputError: They are of another number.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    backbone = cfg.model.get('backbone')
    if not isinstance(preprocessor, Mapping) or not isinstance(backbone, Mapping):
        return
    inner = backbone.get('vit')
    inner = inner if isinstance(inner, Mapping) else {}
    channels = backbone.get('in_channels') or inner.get('in_channels')
    if channels is None:
        return
    for name in ('mean', 'std'):
        values = preprocessor.get(name)
        if values is not None and len(values) not in (1, channels):
            raise InputError(
                f'The data_preprocessor has {name} of {len(values)} channels, the ViT has in_channels={channels}: give '
                'one number for all of them, and normalise bands apart with mmvitdense.StretchBands.'
            )


def differing_pixels(cfg: Any) -> list[str]:
    """One sentence for each preset whose pixels are normalised otherwise than by the `data_preprocessor`.

    And one for each `NAF` that takes them for others.

    Args:
        cfg: A config with a `model`. Mean and deviation are compared in RGB, whatever the order that they are given
            in; one number is that of all channels, and images of other numbers are of no account.
    """
    given = _given(cfg)
    if given is None:
        return []
    pixels = {preset: PRETRAININGS[family_of(preset)].pixels for preset in _presets(cfg.model)}
    guides = [_in_rgb({'mean': IMAGENET[0], 'std': IMAGENET[1], **naf, 'bgr_to_rgb': True}) for naf in _nafs(cfg.model)]
    return [
        f'the data_preprocessor has {_both(given)} (RGB), NAF takes the pixels for {_both(taken)}: '
        'give lift=dict(mean=..., std=...) what the data_preprocessor has'
        for taken in guides
        if not _are_close(given, taken)
    ] + [
        f'the data_preprocessor has {_both(given)} (RGB), the pre-training of preset {preset!r} had {_both(wanted)}: '
        'give it these unless the weights are from elsewhere'
        for preset, wanted in pixels.items()
        if not _are_close(given, wanted)
    ]


def warn_of_loaded_pixels(model: nn.Module, cfg: Any) -> None:
    """Log what `pixels_unlike_weights` finds."""
    for text in pixels_unlike_weights(model, cfg):
        print_log(text, logger='current', level=logging.WARNING)


def pixels_unlike_weights(model: nn.Module, cfg: Any) -> list[str]:
    """One sentence for each file whose pre-training had pixels normalised otherwise than by the `data_preprocessor`.

    ViTs with a preset are left to `differing_pixels`. Where a file may be of several families, one of them suffices.

    Args:
        model: The model, whose ViTs `ViTPretrained` has loaded.
        cfg: Its config.
    """
    given = _given(cfg)
    loaded = [
        vit.loaded_weights
        for vit in model.modules()
        if isinstance(getattr(vit, 'loaded_weights', None), LoadedWeights) and getattr(vit, 'preset', None) is None
    ]
    lines = []
    for checkpoint, families in dict.fromkeys(loaded) if given is not None else ():
        wanted: dict[Any, list[str]] = {}
        for family in families:
            wanted.setdefault(PRETRAININGS[family].pixels, []).append(family)
        if not any(_are_close(given, pixels) for pixels in wanted):
            had = ' or '.join(f'{_both(pixels)} ({", ".join(names)})' for pixels, names in wanted.items())
            lines.append(
                f'the data_preprocessor has {_both(given)} (RGB), the pre-training of the weights {checkpoint} had '
                f'{had}: give it these unless the model was trained further with others'
            )
    return lines


def _presets(part: Any) -> Iterator[str]:
    """The known presets in a config, at whatever depth."""
    if isinstance(part, Mapping):
        if part.get('preset') in PRESETS:
            yield part['preset']
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for inner in part:
            yield from _presets(inner)


def _nafs(part: Any) -> Iterator[Mapping]:
    """Options of each `NAF` in a config, at whatever depth."""
    if isinstance(part, Mapping):
        if str(part.get('type')).removeprefix('mmvitdense.') == 'NAF':
            yield part
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for inner in part:
            yield from _nafs(inner)


def _given(cfg: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation of the `data_preprocessor` in RGB; None without one, see `_in_rgb`."""
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    return _in_rgb(preprocessor) if isinstance(preprocessor, Mapping) else None


def _in_rgb(preprocessor: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation, those of untouched pixels where there are none; None unless of three channels or of all."""
    mean, std = preprocessor.get('mean') or (0.0,) * 3, preprocessor.get('std') or (1.0,) * 3
    if len(mean) not in (1, 3) or len(std) not in (1, 3):
        return None
    order = 1 if preprocessor.get('bgr_to_rgb') else -1
    return tuple(map(float, mean))[::order], tuple(map(float, std))[::order]


def _are_close(first: tuple, second: tuple) -> bool:
    return all(abs(a - b) < _CLOSE for one, other in zip(first, second) for a, b in _paired(one, other))


def _paired(first: tuple[float, ...], second: tuple[float, ...]) -> zip:
    """The numbers of each channel; a single one is that of all."""
    number = max(len(first), len(second))
    return zip(*(values * number if len(values) == 1 else values for values in (first, second)))


def _both(pixels: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    return f'mean={_shown(pixels[0])} and std={_shown(pixels[1])}'


def _shown(values: tuple[float, ...]) -> str:
    return str([round(value, 3) for value in values])
