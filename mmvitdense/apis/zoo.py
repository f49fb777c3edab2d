"""Searching the zoo, showing what it has, fetching it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.checkpoints.zoo import ZooEntry, zoo_entries
from mmvitdense.checkpoints.zoo.entry import ACCESS
from mmvitdense.checkpoints.zoo.files import by_hand, published_file
from mmvitdense.checkpoints.zoo.names import entry_named, nearest_names

from .errors import InputError

_LACKS = {
    'missing': 'the file has no ViT: that of the config is fetched beside it, or given with --trunk FILE',
    'added': 'the file has differences to a published ViT: that of the config is fetched beside it, or given with '
    '--trunk FILE',
}


def find_entries(
    words: Sequence[str] = (),
    task: str | None = None,
    family: str | None = None,
    dataset: str | None = None,
    licence: str | None = None,
    access: str | None = None,
    max_params: float | None = None,
    published: bool = False,
) -> list[ZooEntry]:
    """The models of the zoo that fit all that is asked; upper and lower case, '-' and blanks are the same.

    Args:
        words: Parts of anything that is known of a model; one whole name stands for that model.
        task, family, dataset, licence: Parts of these.
        access: One of `ACCESS`.
        max_params: Most parameters, in millions; models of unknown size are left out.
        published: Whether weights have to be published.

    Raises:
        InputError: Nothing fits.
    """
    if len(words) == 1 and (entry := entry_named(words[0])):
        return [entry]
    found = [
        entry
        for entry in zoo_entries()
        if all(_plain(word) in _known(entry) for word in words)
        and _has(task, ' '.join(result.task for result in entry.results) or _task_of(entry))
        and _has(family, entry.family)
        and _has(dataset, ' '.join([*(result.dataset for result in entry.results), _data(entry)]))
        and _has(licence, entry.licence or '')
        and (access is None or entry.access == access)
        and (not published or entry.access is not None)
        and (max_params is None or 0 < entry.metadata.get('Parameters', 0) <= max_params * 1e6)
    ]
    if not found:
        hint = nearest_names(words[0]) if len(words) == 1 else '; `mmvitdense zoo` lists all that there are.'
        raise InputError(f'No model of the zoo fits {" ".join(words) or "all of these options"}{hint}')
    return found


def list_entries(entries: Sequence[ZooEntry], as_json: bool = False) -> str:
    """A line for each model: name, parameters, results, access."""
    if as_json:
        return json.dumps([describe_entry(entry) for entry in entries], indent=2)
    width = max(len(entry.name) for entry in entries)
    lines = [
        f'{entry.name:{width}}  {_millions(entry):>8}  {results_text(entry):24}  {entry.access or "no weights"}'
        for entry in entries
    ]
    count = sum(entry.access is not None for entry in entries)
    return '\n'.join([*lines, f'{len(entries)} model(s), {count} with published weights'])


def show_entry(entry: ZooEntry, as_json: bool = False) -> str:
    """Everything that is known of a model."""
    if as_json:
        return json.dumps(describe_entry(entry), indent=2)
    weights = entry.weights or (by_hand(entry) if entry.page else 'none published')
    lines = {
        'name': entry.name,
        'family': entry.family,
        'config': f'mmvitdense::{entry.config}',
        **{key.lower(): f'{value:,}' if isinstance(value, int) else value for key, value in entry.metadata.items()},
        'results': '; '.join(
            f'{result.task} on {result.dataset}: {_metrics(result.metrics)}' for result in entry.results
        ),
        'weights': weights,
        'access': f'{entry.access}: {ACCESS[entry.access]}' if entry.access else '',
        'check sum': f'SHA-256 {entry.sha256}' if entry.sha256 else f'MD5 {entry.md5}' if entry.md5 else '',
        'lacks': _LACKS.get(entry.trunk, ''),
        'licence': entry.licence or '',
        'official code': entry.source or '',
        'notes': entry.notes,
    }
    width = max(len(name) for name, value in lines.items() if value)
    return '\n'.join(f'{name:{width}}  {value}' for name, value in lines.items() if value)


def describe_entry(entry: ZooEntry) -> dict[str, Any]:
    """An entry as plain data."""
    content = dataclasses.asdict(entry)
    content['results'] = [result._asdict() for result in entry.results]
    return content


def download_entries(entries: Sequence[ZooEntry]) -> int:
    """Fetch the weights of models and print where they are.

    Returns:
        0; 1 if some could not be fetched, which are named.

    Raises:
        CheckpointError: Not one could.
    """
    failures: list[CheckpointError] = []
    for entry in entries:
        try:
            path = published_file(entry)
        except CheckpointError as error:
            if len(entries) == 1:
                raise
            failures.append(error)
            print(error, file=sys.stderr)
        else:
            print(f'{entry.name}: {path} ({Path(path).stat().st_size / 1e6:.1f} MB)')
    if len(failures) == len(entries):
        raise failures[0]
    return 1 if failures else 0


def results_text(entry: ZooEntry) -> str:
    """The published figures, such as 'box AP 51.6, mask AP 45.9'."""
    return ', '.join(_metrics(result.metrics) for result in entry.results)


def _metrics(metrics: dict[str, float]) -> str:
    return ', '.join(f'{name} {value}' for name, value in metrics.items())


def _millions(entry: ZooEntry) -> str:
    number = entry.metadata.get('Parameters')
    return f'{number / 1e6:.1f} M' if number else ''


def _has(wanted: str | None, text: str) -> bool:
    return wanted is None or _plain(wanted) in _plain(text)


def _known(entry: ZooEntry) -> str:
    tasks = [f'{result.task} {result.dataset}' for result in entry.results] or [_task_of(entry), _data(entry)]
    parts = (entry.name, entry.config, entry.family, *tasks, entry.licence or '', entry.access or '')
    return _plain(' '.join(parts))


def _task_of(entry: ZooEntry) -> str:
    """The task by the name, for models without results."""
    if 'panoptic' in entry.name:
        return 'Panoptic Segmentation'
    if any(word in entry.name for word in ('mask-rcnn', 'instance')):
        return 'Object Detection Instance Segmentation'
    semantic = ('upernet', 'semantic', 'mask2former_', 'linear', 'dpt', 'fcn', 'setr', 'segmenter')
    return 'Semantic Segmentation' if any(word in entry.name for word in semantic) else 'Object Detection'


def _data(entry: ZooEntry) -> str:
    return str(entry.metadata.get('Training Data', ''))


def _plain(text: str) -> str:
    return text.lower().replace('-', ' ').replace('_', ' ')
