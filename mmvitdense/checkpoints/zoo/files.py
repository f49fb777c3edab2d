"""Getting the published file of an entry: fetched by its address, or from a folder of files fetched by hand."""

from __future__ import annotations

import os
from pathlib import Path

from mmvitdense.checkpoints.files.reading import CheckpointError, local_path

from .entry import ZooEntry

FOLDER = 'MMVITDENSE_WEIGHTS'
"""Environment variable: a folder of files that were fetched by hand, named after the entries or as published."""
_SUFFIXES = ('.pth', '.pt', '.bin', '.pkl', '.safetensors', '.zip', '.pth.tar')


def published_file(entry: ZooEntry) -> str:
    """Path of the published weights of an entry, fetched where they are not here yet.

    Raises:
        CheckpointError: Nothing is published, it has to be fetched by hand, or it cannot be fetched; the message says
            what to do.
    """
    if (here := _in_folder(entry)) is not None:
        return str(here)
    if entry.access is None:
        raise CheckpointError(
            f'No weights are published for {entry.name}: train it with `mmvitdense train {entry.name}`, or give '
            'weights of your own.'
        )
    if entry.weights is None:
        raise CheckpointError(f'{entry.name}: {by_hand(entry)}')
    return local_path(entry.address)


def by_hand(entry: ZooEntry) -> str:
    """What a person has to do to get a file that no program can fetch."""
    return (
        f'its weights cannot be fetched by a program: {entry.page}; then give the file as weights, or put it as '
        f'{entry.name}.pth into a folder that the environment variable {FOLDER} names.'
    )


def _in_folder(entry: ZooEntry) -> Path | None:
    """The file in the folder of files fetched by hand, under the name of the entry or the published one."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    names = [f'{entry.name}{suffix}' for suffix in _SUFFIXES]
    if entry.weights is not None and _is_unique(entry):
        names.append(_basename(entry))
    return next((path for name in names if (path := Path(folder, name)).is_file()), None)


def _is_unique(entry: ZooEntry) -> bool:
    """Whether no other entry has a file of that name, as all of EoMT have."""
    from .metafiles import zoo_entries

    return sum(other.weights is not None and _basename(other) == _basename(entry) for other in zoo_entries()) == 1


def _basename(entry: ZooEntry) -> str:
    return entry.weights.partition('?')[0].rpartition('/')[2]
