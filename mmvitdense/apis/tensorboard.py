"""Curves of a training in TensorBoard."""

from __future__ import annotations

import importlib.util
from typing import Any

from .errors import InputError

_BACKEND = 'TensorboardVisBackend'


def add_tensorboard(cfg: Any) -> None:
    """Let a training write events for TensorBoard besides what it writes, in place.

    Raises:
        InputError: TensorBoard is not installed.
    """
    if importlib.util.find_spec('tensorboard') is None:
        raise InputError('--tensorboard needs TensorBoard, which is not installed: pip install tensorboard.')
    scope = cfg.get('default_scope', 'mmengine')
    kind = {'mmdet': 'DetLocalVisualizer', 'mmseg': 'SegLocalVisualizer'}.get(scope, 'Visualizer')
    if not cfg.get('visualizer'):
        cfg.visualizer = dict(type=kind, name='visualizer', vis_backends=[dict(type='LocalVisBackend')])
    backends = list(cfg.visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
    if not any(str(backend.get('type')).endswith(_BACKEND) for backend in backends):
        backends.append(dict(type=_BACKEND))
    cfg.visualizer.vis_backends = backends
