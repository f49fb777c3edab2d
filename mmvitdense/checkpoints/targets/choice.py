"""Choosing the model of another library that can express what a `PlainViT` computes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.spelling import spelled

from .contract import Options, Target, Weights

# What the sizes of weights give in every model.
SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels', 'patch_size', 'in_channels')
# What decides about sizes of tables alone; the rule of resizing is reported where it is another.
_FREE = (*SIZES, 'img_size', 'pretrain_img_size', 'pos_resize')


def _find_targets(package: str) -> Iterator[Target]:
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f'{package}.'):
        if found.ispkg:
            yield from _find_targets(found.name)
        elif isinstance(target := getattr(importlib.import_module(found.name), 'TARGET', None), Target):
            yield target


TARGETS: tuple[Target, ...] = tuple(sorted(_find_targets(__package__), key=lambda target: not target.first))
"""All targets."""

LIBRARIES = tuple(sorted({target.library for target in TARGETS}, reverse=True))
"""Libraries that weights can be written for."""


def as_weights_show(options: Options, weights: Weights) -> dict[str, Any]:
    """The options with what weights decide: biases that are not there are none, whatever the family has."""
    found = dict(options)
    if 'blocks.0.attn.qkv.bias' not in weights:
        found['qkv_bias'] = False
    return {**found, 'patch_bias': 'patch_embed.proj.bias' in weights}


def choose_target(library: str, weights: Weights, options: Options, defaults: Options) -> Target:
    """The model of a library that computes what a `PlainViT` does.

    Args:
        library: One of `LIBRARIES`.
        weights: Those of the ViT.
        options: Of the `PlainViT`, all of them, as `as_weights_show` gives them.
        defaults: The same of a `PlainViT` without options.

    Raises:
        CheckpointError: There is none; the message names what the nearest model cannot express.
    """
    nearest: tuple[int, str] | None = None
    found = []
    for target in (target for target in TARGETS if target.library == library):
        checked = {name: value for name, value in options.items() if name not in _FREE}
        lacking = target.inexpressible(checked, defaults)
        if lacking:
            named = ' and '.join(f'{name}={_shortened(options[name])}' for name in lacking)
            reason = f'its {target.name} cannot have {named}'
        elif reason := target.refuses(weights, options):
            reason = f'its {target.name} {reason}'
        else:
            found.append(target)
            continue
        if nearest is None or len(lacking) < nearest[0]:
            nearest = len(lacking), reason
    if not found:
        raise CheckpointError(
            f'{library} has no model that computes what these weights do: {nearest[1]}. Write the layout of mmvitdense'
        )
    return min(found, key=lambda target: target.resizes_otherwise(options))


def _shortened(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 4 and len(set(value)) <= 2:
        return f'({", ".join(map(repr, value[:3]))}, ...)'
    return spelled(value)
