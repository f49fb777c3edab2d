"""Arguments of hooks that are read when a run is under way: for the first checkpoint, for the averaged model."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn

from .build_errors import accepted, building, nearest, registered_names
from .errors import InputError
from .run_parts import hook_settings

_OF_ALL = {'type', 'priority', '_scope_'}
_LIBRARIES = {
    'AimVisBackend': 'aim',
    'ClearMLVisBackend': 'clearml',
    'DVCLiveVisBackend': 'dvclive',
    'MLflowVisBackend': 'mlflow',
    'NeptuneVisBackend': 'neptune',
    'WandbVisBackend': 'wandb',
}
"""What mmengine's backends import late; that of TensorBoard has two libraries to choose from."""


def check_hook_arguments(runner: Runner) -> None:
    """Check what hooks hand on.

    Args:
        runner: A runner with its config, hooks and loops.

    Raises:
        InputError: Nothing takes an argument, the averaged model cannot be built, or a class below a hook has no name
            that is known.
    """
    for key, settings in hook_settings(runner.cfg):
        if not isinstance(settings, dict):
            continue
        kind = settings.get('type')
        kind = HOOKS.get(kind) if isinstance(kind, str) else kind
        if inspect.isclass(kind) and issubclass(kind, CheckpointHook):
            _check_saving(key, settings, kind)
        _check_types(key, {name: value for name, value in settings.items() if name != 'type'})
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and _made_of(hook, settings):
                with building(key, settings):
                    MODELS.build(dict(hook.ema_cfg), default_args={'model': nn.Linear(1, 1)})
                    EMAHook.before_train(hook, runner)


def check_backends(visualizer: Any) -> None:
    """Refuse backends of a visualizer whose library is not installed, which they import when they first write.

    Raises:
        InputError: A library is missing.
    """
    backends = visualizer.get('vis_backends') if isinstance(visualizer, dict) else None
    for number, backend in enumerate(backends if isinstance(backends, (list, tuple)) else ()):
        kind = str(backend.get('type') if isinstance(backend, dict) else '').rpartition('.')[2]
        library = _LIBRARIES.get(kind)
        if library is not None and importlib.util.find_spec(library) is None:
            raise InputError(
                f'visualizer.vis_backends.{number}: {kind} needs the package {library}, which is not installed: '
                'install it, or take the backend out.'
            )


def _check_saving(key: str, settings: dict, kind: type) -> None:
    taken = accepted(CheckpointHook) | accepted(kind) | set(inspect.signature(Runner.save_checkpoint).parameters)
    for name in settings.keys() - taken - _OF_ALL:
        raise InputError(
            f'{key}.{name}: {kind.__name__} takes no {name!r} (given {settings[name]!r}){nearest(name, taken) or "."}'
        )


def _check_types(key: str, settings: Any) -> None:
    """Refuse a mistyped class below a hook, of transforms that it puts into use later."""
    parts = settings.items() if isinstance(settings, dict) else enumerate(settings)
    for name, part in parts:
        if not isinstance(part, (dict, list, tuple)):
            continue
        kind = part.get('type') if isinstance(part, dict) else None
        if isinstance(kind, str):
            known = registered_names()
            if kind.rpartition('.')[2] not in known and (close := nearest(kind.rpartition('.')[2], known, 0.75)):
                raise InputError(f'{key}.{name}.type: no class or function {kind!r} is registered{close}')
        _check_types(f'{key}.{name}', part)


def _made_of(hook: EMAHook, settings: Any) -> bool:
    """Whether an averaging hook may be that of these settings: a run has one, as a rule."""
    return isinstance(settings, dict) and str(settings.get('type')).rpartition('.')[2] == type(hook).__name__
