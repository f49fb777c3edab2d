"""What counts iterations in a config: loops, schedules and hooks, with another number of iterations."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ..errors import InputError
from .recipe import counts_epochs

_COUNTS = {
    'LinearLR': (), 'LinearParamScheduler': (), 'LinearMomentum': (),
    'ConstantLR': (), 'ConstantParamScheduler': (), 'ConstantMomentum': (),
    'PolyLR': (), 'PolyParamScheduler': (), 'PolyMomentum': (),
    'MultiStepLR': ('milestones',), 'MultiStepParamScheduler': ('milestones',), 'MultiStepMomentum': ('milestones',),
    'StepLR': ('step_size',), 'StepParamScheduler': ('step_size',), 'StepMomentum': ('step_size',),
    'CosineAnnealingLR': ('T_max',), 'CosineAnnealingParamScheduler': ('T_max',),
    'CosineAnnealingMomentum': ('T_max',),
    'CosineRestartLR': ('periods',), 'CosineRestartParamScheduler': ('periods',),
    'OneCycleLR': ('total_steps',), 'OneCycleParamScheduler': ('total_steps',),
    'QuadraticWarmupLR': (), 'QuadraticWarmupParamScheduler': (), 'QuadraticWarmupMomentum': (),
    'ReduceOnPlateauLR': (), 'ReduceOnPlateauParamScheduler': (), 'ReduceOnPlateauMomentum': (),
    'TwoStageWarmupPoly': (),
}  # fmt: skip
"""Schedules, and their arguments that are iterations besides `begin` and `end`."""
_FOREVER = 10**9
"""mmengine's `end` of a schedule without one (`mmengine/optim/scheduler/param_scheduler.py`)."""


def is_kind(settings: Any, name: str) -> bool:
    """Whether settings are of a class of that name, whatever their scope."""
    kind = settings.get('type') if isinstance(settings, dict) else None
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rpartition('.')[2] == name


def scaled_counters(cfg: Any, iterations: float, steps: float, accumulated: int, rate: float = 1.0) -> dict[str, Any]:
    """Options with which a config makes the same training in another number of iterations.

    Args:
        cfg: The config.
        iterations: What a number of iterations, batches of a process, is multiplied by.
        steps: What a number of steps of the optimizer is multiplied by.
        accumulated: Batches of a step from now on.
        rate: What the rate is multiplied by, which the lowest rate of a schedule follows.

    Raises:
        InputError: A schedule counts iterations in a way that is not known.
    """
    loop = cfg.get('train_cfg') or {}
    options: dict[str, Any] = {}
    if not counts_epochs(loop):
        for name in ('max_iters', 'val_interval', 'val_begin'):
            if name in loop:
                options[f'train_cfg.{name}'] = _whole(loop[name], iterations, accumulated)
        if pairs := loop.get('dynamic_intervals'):
            options['train_cfg.dynamic_intervals'] = [
                (_whole(begin, iterations), _whole(interval, iterations, accumulated)) for begin, interval in pairs
            ]
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if checkpoint.get('by_epoch', True) is False and checkpoint.get('interval', -1) > 0:
        options['default_hooks.checkpoint.interval'] = _whole(checkpoint['interval'], iterations, accumulated)
    schedules = cfg.get('param_scheduler')
    if schedules:
        scaled = _scaled_schedules(schedules, iterations, steps, accumulated, rate)
        if scaled != schedules:
            options['param_scheduler'] = scaled
    hooks = scaled_hooks(cfg, steps, iterations)
    if hooks is not None:
        options['custom_hooks'] = hooks
    return options


def scaled_hooks(cfg: Any, steps: float, iterations: float = 1.0) -> list[dict[str, Any]] | None:
    """`custom_hooks` with other counts; None where none of them counts."""
    hooks = [dict(copy.deepcopy(hook)) for hook in cfg.get('custom_hooks') or []]
    before = copy.deepcopy(hooks)
    for hook in hooks:
        if is_kind(hook, 'MaskAnnealingHook'):
            starts = [_whole(start, steps, least=0) for start in hook['starts']]
            ends = [max(_whole(end, steps), start + 1) for end, start in zip(hook['ends'], starts)]
            hook.update(starts=starts, ends=ends)
        if is_kind(hook, 'EMAHook'):
            if hook.get('begin_iter'):
                hook['begin_iter'] = _whole(hook['begin_iter'], iterations)
            if 'momentum' in hook:
                hook['momentum'] = hook['momentum'] / iterations
    return None if hooks == before else hooks


def warmup_options(cfg: Any, most: int) -> dict[str, Any]:
    """Options that end the warm-up, the schedules from 0 to a few hundred iterations, after `most` iterations."""
    schedules = cfg.get('param_scheduler')
    if not isinstance(schedules, (list, tuple)):
        return {}
    scaled = copy.deepcopy([dict(part) for part in schedules])
    ends = {
        part['end']
        for part in scaled
        if any(is_kind(part, name) for name in ('LinearLR', 'ConstantLR', 'QuadraticWarmupLR'))
        and part.get('begin', 0) == 0
        and part.get('by_epoch', True) is False
        and part.get('end', _FOREVER) > most
    }
    for part in scaled:
        for name in ('begin', 'end'):
            if part.get('by_epoch', True) is False and part.get(name) in ends:
                part[name] = most
    return {'param_scheduler': scaled} if ends else {}


def _scaled_schedules(part: Any, iterations: float, steps: float, accumulated: int, rate: float) -> Any:
    if isinstance(part, (list, tuple)):
        return [_scaled_schedules(each, iterations, steps, accumulated, rate) for each in part]
    if 'type' not in part:
        return {key: _scaled_schedules(each, iterations, steps, accumulated, rate) for key, each in part.items()}
    scaled = dict(copy.deepcopy(part))
    if scaled.get('eta_min'):
        scaled['eta_min'] *= rate
    if is_kind(scaled, 'TwoStageWarmupPoly'):
        scaled['warmup'] = tuple(_whole(number, steps) for number in scaled['warmup'])
        scaled['total'] = _whole(scaled['total'], steps)
        if accumulated > 1 or 'accumulative_counts' in scaled:
            scaled['accumulative_counts'] = accumulated
        return scaled
    if scaled.get('by_epoch', True):
        return scaled
    names = _arguments(scaled, iterations)
    begin, end, same = scaled.get('begin', 0), scaled.get('end', _FOREVER), ()
    if 'end' in scaled:
        same = [name for name in names if scaled.get(name) == end - begin]
    for name in ('begin', 'end', *names):
        if scaled.get(name) and scaled[name] != _FOREVER:
            scaled[name] = _scaled(scaled[name], iterations)
    for name in same:
        scaled[name] = scaled['end'] - scaled.get('begin', 0)
    return scaled


def _arguments(schedule: dict[str, Any], iterations: float) -> tuple[str, ...]:
    known: Iterator[tuple[str, ...]] = (names for kind, names in _COUNTS.items() if is_kind(schedule, kind))
    names = next(known, None)
    if names is None and iterations != 1:
        raise InputError(
            f'--auto: how {schedule["type"]} of param_scheduler counts iterations is not known, and another number of '
            'them is needed: let it count epochs, or give train_dataloader.batch_size and '
            'optim_wrapper.accumulative_counts by --cfg-options and its numbers in the config.'
        )
    return names or ()


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_whole(number, factor) for number in value)
    return _whole(value, factor)


def _whole(number: int, factor: float, multiple: int = 1, least: int = 1) -> int:
    """A number of iterations times a factor, in whole steps of `multiple` iterations."""
    return max(least * multiple, round(number * factor / multiple) * multiple) if number else number
