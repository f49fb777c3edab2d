"""Recognising the format of a checkpoint from its names."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from .contract import Format
from .refused import why_refused
from .strangers import looks_like

_FIRST_BLOCK = re.compile(r'^(.*\.)?(?:blocks|layers?|resblocks)\.0\.(.+)$')

_ONE_VIT = re.compile(r'^(.*\.)?blocks\.0\.attn\.qkv\.weight$')


def _find_formats(package: str) -> Iterator[Format]:
    """Every `FORMAT` of the modules of a package and of those below it, in the order of their names."""
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f'{package}.'):
        if found.ispkg:
            yield from _find_formats(found.name)
        elif isinstance(form := getattr(importlib.import_module(found.name), 'FORMAT', None), Format):
            yield form


FORMATS: tuple[Format, ...] = tuple(_find_formats(__package__))
"""All formats. Exactly one may match a file, so that their order is of no importance."""


def detect(state_dict: dict[str, Tensor]) -> Format:
    """Return the format of a checkpoint.

    Raises:
        CheckpointError: No format matches or several do, or one does and the model is another; the message shows what
            was seen.
    """
    if reason := why_refused(state_dict):
        raise CheckpointError(reason)
    found = [form for form in FORMATS if form.matches(state_dict)]
    # A file of a model around a ViT has the names of the ViT too.
    found = [form for form in found if form.model != 'PlainViT'] or found
    if len(found) == 1:
        return found[0]
    names = ', '.join(list(state_dict)[:4])
    if found:
        raise CheckpointError(
            f'{len(found)} ViT formats, {" and ".join(form.name for form in found)}, have these {len(state_dict)} '
            f'names: {names}, ...: save the weights of one model alone'
        )
    if what := looks_like(state_dict):
        raise CheckpointError(
            f'no known ViT format has these {len(state_dict)} names ({names}, ...), which look like those of {what}: '
            'take the weights of a plain ViT'
        )
    seen = f'{_blocks_seen(state_dict)}{_several(state_dict)}'
    raise CheckpointError(
        f'no known ViT format has these {len(state_dict)} names: {names}, ...{seen}; known are '
        f'{", ".join(form.name for form in FORMATS)}'
    )


def _blocks_seen(state_dict: dict[str, Tensor]) -> str:
    """The names of the first block, which distinguish a format from its relatives."""
    seen = sorted({match[2] for name in state_dict if (match := _FIRST_BLOCK.match(name))})
    return f' with {", ".join(seen)} in the first block' if seen else ''


def _several(state_dict: dict[str, Tensor]) -> str:
    """That there is more than one ViT, of which nothing says which to take."""
    prefixes = sorted({match[1] or '' for name in state_dict if (match := _ONE_VIT.match(name))})
    if len(prefixes) < 2:
        return ''
    return f', of {len(prefixes)} ViTs, under {" and ".join(map(repr, prefixes[:3]))}: save the weights of one alone'


def convert(state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Detect the format and return the names of `PlainViT`, under 'backbone.' if the file holds more than a ViT.

    `num_heads` is needed by the formats whose channels it orders, see `Format.converted`.
    """
    return detect(state_dict).converted(state_dict, num_heads)
