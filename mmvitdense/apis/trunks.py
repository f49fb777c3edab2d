"""Files without the weights of their ViT: heads and decoders that stand on a published one, and differences to one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor

from mmvitdense.apis.errors import InputError
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.checkpoints.fit.grids import grids_of_record, recorded_rope, with_record
from mmvitdense.checkpoints.formats.contract import Format

WHOLE = 'none'
"""Given as trunk: the weights that look like differences are whole."""
_VIT = 'backbone.vit.'


def check_trunk(form: Format, lacks: str | None, trunk: object, source: object) -> None:
    """Check that a trunk is given where a file needs one, and nowhere else.

    Args:
        form: The format of the file.
        lacks: What `form.trunk` says of it.
        trunk: Path or address of the file of the ViT, `WHOLE`, or None.
        source: The file.

    Raises:
        InputError: There is one that has no place.
        CheckpointError: There is none, and without it the weights mean nothing.
    """
    if trunk is not None and lacks is None:
        raise InputError(
            f'{source} ({form.name}) has the weights of its ViT, and no trunk is added: leave out --trunk.'
        )
    if trunk == WHOLE and lacks == 'missing':
        raise InputError(f'{source} ({form.name}) has no ViT: give --trunk its file, or leave it out.')
    if trunk is None and lacks == 'added':
        raise CheckpointError(
            f'{source} ({form.name}) is of a layout whose published files hold differences to the weights of '
            f'their ViT: give these with --trunk FILE, or --trunk {WHOLE} where you know that the weights are whole'
        )


def join_trunk(lacks: str, weights: Mapping[str, Tensor], vit: Mapping[str, Tensor]) -> OrderedDict:
    """Put a ViT under what stands on it, or add it to the differences.

    Args:
        lacks: 'missing' or 'added', see `Format.trunk`.
        weights: Converted weights with 'backbone.' before their names; a ViT is under 'backbone.vit.'.
        vit: Converted weights of a `PlainViT`, with the record of their grids.

    Returns:
        Both, with the record.

    Raises:
        CheckpointError: Differences have other names or shapes.
    """
    named = {f'{_VIT}{name}': weight for name, weight in vit.items()}
    if lacks == 'added':
        named = _sums({name: x for name, x in weights.items() if name.startswith(_VIT)}, named)
    return with_record({**weights, **named}, grids_of_record(vit), _VIT[:-1], recorded_rope(vit, ''))


def _sums(differences: Mapping[str, Tensor], vit: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if lone := sorted(differences.keys() ^ vit.keys()):
        raise CheckpointError(
            f'{len(lone)} tensors are in one of the files alone, first {", ".join(lone[:4])}: give --trunk the weights '
            'that the differences were made with'
        )
    if unlike := [name for name in vit if vit[name].shape != differences[name].shape]:
        first = unlike[0]
        raise CheckpointError(
            f'{first} is {tuple(differences[first].shape)} in the differences and {tuple(vit[first].shape)} in the '
            'trunk: give --trunk the weights that they were made with'
        )
    return {name: vit[name] + differences[name] for name in vit}
