"""Whether a run that is resumed is the one that its config describes."""

from __future__ import annotations

from typing import Any

from mmengine.runner import Runner
from torch.optim import Optimizer

from .errors import OtherTrainingError


def compare_training(runner: Runner, checkpoint: dict[str, Any]) -> list[str]:
    """Compare the optimizers and schedules of a runner, which are built, with those that a checkpoint holds.

    mmengine gives the state of one optimizer to another without a look, which fails in the first step, or uses the
    settings of the checkpoint in the place of those of the config.

    Returns:
        Lines that say which settings of the config are not used.

    Raises:
        OtherTrainingError: the optimizer is another one, or trains other parameters, or the file is no such checkpoint.
    """
    meta = checkpoint.get('meta') or {}
    absent = [f'meta.{name}' for name in ('epoch', 'iter') if name not in meta]
    if 'message_hub' not in checkpoint:
        absent.append('message_hub')
    if absent:
        raise OtherTrainingError(
            f'The checkpoint has no {", ".join(absent)}, so it is of another runner (such as that of mmdet 2) '
            'and cannot be resumed; start from its weights with --cfg-options load_from=CHECKPOINT.'
        )
    wrapper, saved = runner.optim_wrapper, checkpoint.get('optimizer') or {}
    wrappers = {f'.{name}': one for name, one in wrapper.items()} if hasattr(wrapper, 'items') else {'': wrapper}
    notes = []
    for name, one in wrappers.items():
        state = saved.get(name[1:], {}) if name else saved
        if 'param_groups' not in state:
            raise OtherTrainingError(_other(f'optim_wrapper{name}', type(one.optimizer).__name__, 'no state for it'))
        notes += _compare_optimizer(f'optim_wrapper{name}.optimizer', one.optimizer, state['param_groups'])
    return notes + _compare_schedules(runner.param_schedulers, checkpoint.get('param_schedulers'))


def _compare_optimizer(place: str, optimizer: Optimizer, saved: list[dict[str, Any]]) -> list[str]:
    kind, groups = type(optimizer).__name__, optimizer.param_groups
    for group in saved:
        if lacking := sorted(optimizer.defaults.keys() - _completed(optimizer, group).keys()):
            raise OtherTrainingError(_other(place, kind, f'one without {", ".join(lacking)}'))
    ours, theirs = ([len(group['params']) for group in one] for one in (groups, saved))
    if ours != theirs:
        raise OtherTrainingError(
            _other(
                place,
                f'{len(ours)} group(s) with {sum(ours)} parameters',
                f'{len(theirs)} group(s) with {sum(theirs)}, or others in them',
            )
        )
    changed: dict[str, str] = {}
    for one, other in zip(groups, saved, strict=True):
        # Whether a step is fused is how it is computed, see `fuse_steps`, and no setting of the training.
        for key in sorted((optimizer.defaults.keys() & other.keys()) - {'fused'}):
            # Schedules have changed the rate itself on both sides.
            read = 'initial_lr' if key == 'lr' and 'initial_lr' in one and 'initial_lr' in other else key
            if not _same(one[read], other[read]):
                changed.setdefault(
                    key, f'{place}.{key}={one[read]} is not used: the resumed run goes on with {other[read]}'
                )
    return list(changed.values())


def _completed(optimizer: Optimizer, group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a group with those that this version of torch adds to what an earlier one wrote."""
    empty = type(optimizer).__new__(type(optimizer))
    empty.__setstate__({'state': {}, 'param_groups': [{**group, 'params': []}], 'defaults': optimizer.defaults})
    return empty.param_groups[0]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is None or other is None or bool(one == other)


def _compare_schedules(schedules: Any, saved: Any) -> list[str]:
    counts = [_count(schedules), _count(saved)]
    if counts[0] == counts[1]:
        return []
    return [
        f'param_scheduler: the config has {counts[0]} and the resumed run {counts[1]}, so those in one place '
        'alone go on'
    ]


def _count(schedules: Any) -> int:
    if isinstance(schedules, dict):
        return sum(map(_count, schedules.values()))
    return len(schedules or [])


def _other(place: str, ours: str, theirs: str) -> str:
    return (
        f'{place}: the config has {ours}, the run to go on with {theirs}. Resume with the config of that run, or start '
        'anew from its weights with --cfg-options load_from=CHECKPOINT in the place of --resume.'
    )
