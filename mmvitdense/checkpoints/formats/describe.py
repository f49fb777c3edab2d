"""What a checkpoint says of its model, and what of that is a guess.

See `contract` for what a format says of its files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.pretrainings import ARCHITECTURES, PRESETS

from .contract import Format
from .parts.implied_options import check_heads
from .parts.spelling import spelled

VIT = 'vit.'
# Values are read of small tensors alone: tables, periods, masks.
_SMALL = 1 << 20


def _width_and_depth(options: Mapping[str, Any]) -> tuple[int, int]:
    width, depth, *_ = ARCHITECTURES[options.get('arch', 'base')]
    return options.get('embed_dims', width), options.get('num_layers', depth)


# Width and depth of published models, whose number of heads is known by them: those of the table, and others.
_PUBLISHED = {*map(_width_and_depth, PRESETS.values()), (1408, 40), (1664, 48), (1792, 64)}
_TABLES = ('attn.rel_pos_h', 'relative_position_bias_table')


@dataclass
class Description:
    """Options of a model, and which of them the weights do not determine.

    Attributes:
        options: Arguments of the class that `model` of the format names.
        guesses: {path of an option: why it is a guess}, 'vit.window_size' for one of the ViT inside.
    """

    options: dict[str, Any]
    guesses: dict[str, str] = field(default_factory=dict)

    def value(self, path: str) -> Any:
        """The option at a path; KeyError where it has the default of the class."""
        value = self.options
        for part in path.split('.'):
            value = value[part]
        return value

    def recorded_guesses(self) -> dict[str, dict[str, str]]:
        """The guesses as a file records them, see `conversion_record`.

        Returns:
            {path: {'why': why it is a guess, 'value': as it is written in a config, absent where the class has it as
            its default}}.
        """
        found = {}
        for path, why in self.guesses.items():
            found[path] = {'why': why}
            with suppress(KeyError):
                found[path]['value'] = spelled(self.value(path))
        return found


def describe(form: Format, state_dict: dict[str, Tensor], given: Mapping[str, Any] | None = None) -> Description:
    """Read the options off a checkpoint.

    Args:
        form: Its format, from whose files options can be read.
        state_dict: The checkpoint, not converted.
        given: What the user knows, which wins and is no guess. Of a model that holds a ViT, names that are not its own
            are of the ViT.

    Raises:
        CheckpointError: An option cannot be determined and has to be given, or one that is given cannot be.
    """
    given = dict(given or {})
    if 'vit' in given and form.model == 'PlainViT':
        raise CheckpointError(
            f'the weights ({form.name}) are of a ViT alone, so that its options have no vit. before their names, got '
            f'vit={given["vit"]!r}: leave it out'
        )
    state_dict = {n: x if x.numel() <= _SMALL else x.to('meta') for n, x in state_dict.items()}
    described = Description(form.options(state_dict, **given))
    for part in (described.options, *described.options.values()):
        if isinstance(part, dict) and 'embed_dims' in part:
            check_heads(part['embed_dims'], part['num_heads'])
    guesses = form.guesses(state_dict, described.options)
    if form.record is None and not _tells_heads(form, state_dict):
        guesses = {**_guessed_heads(described.options), **guesses}
    known = _paths(given)
    described.guesses = {path: why for path, why in guesses.items() if not is_named(path, known)}
    return described


def _tells_heads(form: Format, state_dict: dict[str, Tensor]) -> bool:
    if form.tells_heads(state_dict):
        return True
    return any(name.endswith(_TABLES) for name in state_dict)


def _guessed_heads(options: dict[str, Any]) -> dict[str, str]:
    prefix = VIT if 'vit' in options else ''
    vit = options['vit'] if prefix else options
    width, depth = vit['embed_dims'], vit['num_layers']
    if (width, depth) in _PUBLISHED:
        return {}
    return {f'{prefix}num_heads': f'not in the weights; published models of {width} channels have as many'}


def _paths(given: Mapping[str, Any], prefix: str = '') -> set[str]:
    paths = set()
    for name, value in given.items():
        inner = _paths(value, f'{prefix}{name}.') if isinstance(value, Mapping) else set()
        paths |= inner or {f'{prefix}{name}'}
    return paths


def is_named(path: str, names: Collection[str]) -> bool:
    """Whether the option at a path is among those named, with or without the 'vit.' before it, or in parts."""
    spellings = {path, path.removeprefix(VIT)}
    return any(name == spelling or name.startswith(f'{spelling}.') for name in names for spelling in spellings)
