"""Weights in several files, of safetensors or of torch (.bin), with an index as the Hugging Face Hub has it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SUFFIX = '.safetensors.index.json'
"""How the name of an index ends that is written here."""
# Of those that are read; what comes before .json is the variant of transformers, such as fp16.
_NAME = re.compile(r'\.(safetensors|bin)\.index(\.\w+)?\.json$')


class BrokenIndexError(ValueError):
    """An index that is none, or parts that are not what it says."""


def is_index(path: str | Path) -> bool:
    """Whether a file is an index, by its name."""
    return _NAME.search(str(path)) is not None


def load_parts(index: str | Path, load: Callable[[str], Any]) -> OrderedDict:
    """Read all parts that an index names.

    Args:
        index: The file; its `weight_map` says which part each weight is in.
        load: Reads one part, which is no index.

    Raises:
        BrokenIndexError: It is no index, names a file elsewhere, a part is missing, is no state dict, or lacks a
            weight.
    """
    places = places_of(index)
    state = OrderedDict()
    for name in sorted(set(places.values())):
        path = Path(index).parent / name
        if not path.is_file():
            raise BrokenIndexError(f'{index} names {name!r}, which is not beside it: copy or fetch all parts.')
        part = load(str(path))
        if not isinstance(part, Mapping):
            raise BrokenIndexError(f'{path} holds no state dict: copy or fetch all parts of {index}.')
        state.update(part)
        if hasattr(part, '_metadata'):
            state._metadata = part._metadata
    if different := state.keys() ^ places.keys():
        raise BrokenIndexError(
            f'{index} and its parts differ in {len(different)} weights, such as {min(different)!r}: they are not of '
            'one model, copy or fetch them again.'
        )
    return state


def paths_of(path: str | Path) -> list[Path]:
    """The files of weights that a path stands for: the parts of an index, or the file itself.

    Raises:
        BrokenIndexError: As `load_parts`.
    """
    if not is_index(path):
        return [Path(path)]
    return [Path(path).parent / name for name in sorted(set(places_of(path).values()))]


def places_of(index: str | Path) -> dict[str, str]:
    """{weight: name of its part}.

    Raises:
        BrokenIndexError: It is no index, or names a file that is not beside it.
    """
    try:
        places = json.loads(Path(index).read_text(encoding='utf-8'))['weight_map']
        found = {str(weight): str(name) for weight, name in places.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BrokenIndexError(f'{index} is no index of weights: copy or fetch it again.') from error
    # A name is one of a file beside the index, and no way out of the folder.
    if elsewhere := [name for name in found.values() if Path(name).name != name]:
        raise BrokenIndexError(f'{index} names {elsewhere[0]!r}, which is not beside it: copy or fetch all parts.')
    if not found:
        raise BrokenIndexError(f'{index} names no weights: copy or fetch it again.')
    return found
