"""Optimizers and schedules make a few steps on weights of their own, which shows what they cannot compute."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from numbers import Real
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.optim import ReduceOnPlateauParamScheduler, _ParamScheduler
from torch import nn

from mmvitdense.engine.whole_checkpoint import single_wrappers

from .build_errors import building, shown
from .errors import InputError

_OTHER_STEPS = ('LBFGS', 'SparseAdam')
"""Optimizers of torch that take something else than dense gradients alone."""
_FURTHEST = 1_000_000


def try_optimizers(optim_wrapper: Any, settings: Any) -> None:
    """Let copies of torch's optimizers make a step with the options of their groups.

    Args:
        optim_wrapper: What was built.
        settings: Its settings in the config.

    Raises:
        InputError: A step fails, or gives weights that are not finite.
    """
    for wrapper in single_wrappers(optim_wrapper):
        optimizer = wrapper.optimizer
        kind = type(optimizer)
        if not kind.__module__.startswith('torch.optim') or kind.__name__ in _OTHER_STEPS:
            continue
        for options in _different_groups(optimizer):
            with building('optim_wrapper', settings):
                weight = _stepped(optimizer, options)
            if not weight.isfinite().all():
                given = ', '.join(f'{name}={value!r}' for name, value in options.items() if _is_number(value))
                raise InputError(
                    f'optim_wrapper.optimizer: one step of {kind.__name__} gives weights that are not finite ({given}).'
                )


def _different_groups(optimizer: torch.optim.Optimizer) -> list[dict]:
    found: list[dict] = []
    for group in optimizer.param_groups:
        options = {name: value for name, value in group.items() if name not in ('params', 'param_names')}
        if options not in found:
            found.append(options)
    return found


def _stepped(optimizer: torch.optim.Optimizer, options: dict) -> torch.Tensor:
    """A weight after a step."""
    like = next(parameter for group in optimizer.param_groups for parameter in group['params'])
    weight = nn.Parameter(torch.ones(2, 2, device=like.device))
    weight.grad = torch.ones_like(weight)
    trial = copy.copy(optimizer)
    trial.__dict__.pop('step', None)  # schedules count the steps of the optimizer there
    trial.state = defaultdict(dict)
    trial.param_groups = [{**copy.deepcopy(options), 'params': [weight]}]
    trial.step()
    return weight.detach()


def try_schedules(schedulers: Any, settings: Any) -> None:
    """Compute values of each schedule at its begin, in its middle and at its end.

    Args:
        schedulers: What was built, a list, or a dict of lists.
        settings: Their settings in the config.

    Raises:
        InputError: One cannot be computed, or is not a finite number.
    """
    groups = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    for scheduler in (each for group in groups for each in group or ()):
        if not isinstance(scheduler, _ParamScheduler) or isinstance(scheduler, ReduceOnPlateauParamScheduler):
            continue
        key, own = _place(scheduler, settings)
        with building(key, own):
            values = _values(scheduler)
        for step, value in values:
            if not _is_number(value) or not math.isfinite(value):
                raise InputError(
                    f'{key}: {type(scheduler).__name__} makes {scheduler.param_name} {value!r} at step {step}; check '
                    f'its arguments {shown(dict(own) if isinstance(own, dict) else own, 200)}.'
                )


def _values(scheduler: _ParamScheduler) -> list[tuple[int, Any]]:
    """(step, value) of the first group at some steps."""
    begin, end = int(scheduler.begin), int(min(scheduler.end, scheduler.begin + _FURTHEST))
    steps = sorted({begin, begin + 1, begin + 2, (begin + end) // 2, end - 1} & set(range(begin, end)))
    values = []
    for step in steps:
        trial = copy.copy(scheduler)
        group = {key: value for key, value in scheduler.optimizer.param_groups[0].items() if key != 'params'}
        trial.optimizer = SimpleNamespace(param_groups=[group], _global_step=step, defaults={}, step=_counted)
        trial.base_values = scheduler.base_values[:1]
        trial._global_step, trial.last_step, trial.verbose = step - 1, step - begin - 1, False
        trial.step()
        values.append((step, trial._last_value[0]))
    return values


def _counted() -> None:
    """Stands for the method of an optimizer whose calls are counted."""


_counted._with_counter = True


def _place(scheduler: _ParamScheduler, settings: Any) -> tuple[str, Any]:
    """Where the settings of a schedule stand, the first of its class with its begin."""
    several = settings if isinstance(settings, (list, tuple)) else [settings]
    for number, each in enumerate(several):
        begins = isinstance(each, dict) and each.get('begin', 0) == scheduler.begin
        if begins and str(each.get('type')).rpartition('.')[2] == type(scheduler).__name__:
            return f'param_scheduler.{number}', each
    return 'param_scheduler', settings


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
