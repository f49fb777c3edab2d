"""Synchronised batch norm where there is nothing to synchronise with."""

from __future__ import annotations

from typing import Any

SYNCHRONISED = ('SyncBN', 'MMSyncBN', 'NaiveSyncBN', 'SyncBatchNorm')
_ONLY_SYNCHRONISED = ('group', 'stats_mode', 'process_group')


def sync_bn_to_bn(cfg: Any) -> list[str]:
    """Turn every synchronised batch norm of a config, at any depth, into `BN`, in place.

    Weights and results stay the same: `SyncBN` of one process is `BN`, and the parameters have the same names.
    Needed without a process group, where `SyncBN` cannot train, and without CUDA, for which it has no kernels.

    Returns:
        One line for the log that says how many were turned and where, or nothing.
    """
    found = []
    for key in cfg:
        _walk(cfg[key], key, found)
    if not found:
        return []
    shown = ', '.join(found[:4]) + (', ...' if len(found) > 4 else '')
    return [f'SyncBN turned into BN in {len(found)} place(s), as no processes train together on GPUs here: {shown}']


def _walk(node: Any, path: str, found: list[str]) -> None:
    if isinstance(node, dict):
        if _name(node.get('type')) in SYNCHRONISED:
            node['type'] = 'BN'
            for key in _ONLY_SYNCHRONISED:
                node.pop(key, None)
            found.append(path)
        children = list(node.items())
    elif isinstance(node, (list, tuple)):
        children = list(enumerate(node))
    else:
        return
    for key, child in children:
        _walk(child, f'{path}.{key}', found)


def _name(kind: Any) -> str | None:
    """The name of a `type` given as a string, with or without scope, or as a class."""
    if isinstance(kind, type):
        return kind.__name__
    return kind.rpartition('.')[2] if isinstance(kind, str) else None
