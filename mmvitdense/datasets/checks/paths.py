"""Are the folders and files that a config names there?"""

from __future__ import annotations

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterator

from mmvitdense.datasets.outside import outside_files_are_allowed

from .messages import DataError, listed
from .source import DataSource, find_sources


def check_root(source: DataSource, cfg: dict) -> None:
    """Raise unless data_root, where one is given, is a folder."""
    root = source.option('data_root')
    if root and not osp.isdir(root):
        raise DataError(
            f'{source.key}.data_root: there is no folder {root!r} ({osp.abspath(root)}): put the data there, or name '
            f'its folder with --cfg-options {" ".join(_options_below(cfg, root))}'
        )


def check_file(source: DataSource, name: str) -> str:
    """Return the path of the file that `source.cfg[name]` names, or raise."""
    value = source.option(name)
    if not value:
        raise DataError(
            f'{source.key}.{name} is not set: name the file with --cfg-options {source.key}.{name}=FILE '
            f'(relative to data_root, {source.option("data_root")!r}).'
        )
    path = source.path(value)
    if not osp.isfile(path):
        raise DataError(
            f'{source.key}.{name}: there is no file {path!r} ({osp.abspath(path)}){_neighbours(path)}: put it there, '
            f'or name it with --cfg-options {source.key}.{name}=FILE'
        )
    return path


def check_folder(source: DataSource, name: str) -> str:
    """Return the folder that `data_prefix[name]` names, or raise."""
    prefix = source.prefix(name)
    if prefix is None:
        raise DataError(
            f'{source.key}.data_prefix names no folder {name!r}, only {listed(source.option("data_prefix") or {})}: '
            f'give it with --cfg-options {source.key}.data_prefix.{name}=FOLDER (relative to data_root).'
        )
    folder = prefix or '.'
    if not osp.isdir(folder):
        raise DataError(
            f'{source.key}.data_prefix.{name}: there is no folder {folder!r} ({osp.abspath(folder)})'
            f'{_neighbours(folder)}: put it there, or name it with '
            f'--cfg-options {source.key}.data_prefix.{name}=FOLDER'
        )
    return folder


def check_inside(source: DataSource, folder: str, names: list[str], listing: str) -> None:
    """Raise if a list of files names one outside of the data, unless that was allowed.

    A list from elsewhere could otherwise make a run read, and draw, any picture of this machine.

    Args:
        source: The data set.
        folder: Where its files are.
        names: The files, relative to the folder.
        listing: The file that names them, for the message.
    """
    if outside_files_are_allowed():
        return
    roots = [osp.abspath(part) for part in (folder, source.option('data_root')) if part]
    outside = [name for name in names if (osp.isabs(name) or '..' in name) and not _is_inside(folder, name, roots)]
    if outside:
        raise DataError(
            f'{source.key}: {len(outside)} of the {len(names)} files that {listing} names lie outside of the data, '
            f'{outside[0]!r} for one leads out of {folder!r}: correct the names, or allow this with --outside-files.'
        )


def _is_inside(folder: str, name: str, roots: list[str]) -> bool:
    path = osp.abspath(osp.join(folder, name))
    return any(path.startswith(osp.join(root, '')) for root in roots)


def find_files(folder: str) -> list[str]:
    """Return the files below a folder, relative to it and sorted; hidden ones are left out as mmengine does."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        found += [osp.relpath(osp.join(place, name), folder) for name in names if not name.startswith('.')]
    return sorted(found)


def describe_suffixes(files: list[str]) -> str:
    """Return what kinds of files there are: `412 with '.png', 3 with '.txt'`, or `no file at all`."""
    counts = Counter(osp.splitext(name)[1] for name in files).most_common(5)
    return ', '.join(f'{count} with {suffix!r}' for suffix, count in counts) or 'no file at all'


def evenly_spaced(items: list, limit: int) -> list:
    """Return at most `limit` of the items, evenly spread over all of them, the first and the last included."""
    if len(items) <= limit:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(limit - 1, 1))] for i in range(limit)]


def evaluators(cfg: dict, split: str) -> Iterator[tuple[str, dict]]:
    """Yield (key, settings) of each metric of `{split}_evaluator`."""
    key = f'{split}_evaluator'
    value = cfg.get(key)
    if isinstance(value, dict) and isinstance(value.get('metrics'), (list, tuple)):
        key, value = f'{key}.metrics', value['metrics']
    if isinstance(value, dict):
        yield key, value
    elif isinstance(value, (list, tuple)):
        yield from ((f'{key}.{index}', part) for index, part in enumerate(value) if isinstance(part, dict))


def _options_below(cfg: dict, root: str) -> Iterator[str]:
    """Yield every option that has to change when the data lies elsewhere than in `root`."""
    for split in ('train', 'val', 'test'):
        for source in find_sources(cfg, split):
            if source.option('data_root') == root:
                yield f'{source.key}.data_root=FOLDER'
        for key, metric in evaluators(cfg, split):
            file = metric.get('ann_file')
            if isinstance(file, str) and file.startswith(root):
                yield f'{key}.ann_file=FOLDER/{file[len(root) :].lstrip("/")}'


def _neighbours(path: str) -> str:
    """Return what lies where `path` was expected, as a clause for a message."""
    parent = osp.dirname(osp.abspath(path))
    while not osp.isdir(parent):
        parent = osp.dirname(parent)
    names = sorted(name for name in os.listdir(parent) if not name.startswith('.'))
    return f'; {parent} holds {listed(names, 6)}' if names else f'; {parent} is empty'
