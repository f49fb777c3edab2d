"""The seed of a run, and the hooks that make it one that can be repeated."""

from __future__ import annotations

from typing import Any

from mmengine.dist import sync_random_seed

_HOOKS = {
    'repeatable': 'mmvitdense.RepeatableHook',
    'finite_loss': 'mmvitdense.FiniteLossHook',
    'work_dir': 'mmvitdense.WorkDirHook',
    'processes': 'mmvitdense.ProcessesHook',
}
_LOGGED_EVERY = 10
"""Iterations between two lines of mmengine's `LoggerHook`, where a config does not say."""
_PLAIN_CHECKPOINTS = ('CheckpointHook', 'mmengine.CheckpointHook')


def fix_seed(cfg: Any, resumed_seed: int | None) -> None:
    """Give a config without a seed the one of the run it resumes, or a random one that all processes share.

    mmengine would seed the data order apart from the run in that case, and a resumed run would see another order.
    """
    randomness = dict(cfg.get('randomness') or {})
    if randomness.get('seed') is None:
        randomness['seed'] = sync_random_seed() if resumed_seed is None else resumed_seed
    cfg.randomness = randomness


def add_training_hooks(cfg: Any) -> None:
    """Give a config of another project the hooks that those of this one have in `configs/_base_/runtime*.py`.

    A hook that is set to None stays away. A run of fewer iterations than lie between two lines of the log is logged ten
    times, as it would have no curve else.
    """
    hooks = {name: hook for name, hook in (cfg.get('default_hooks') or {}).items() if hook or name not in _HOOKS}
    for name, kind in _HOOKS.items():
        if name in hooks or name not in (cfg.get('default_hooks') or {}):
            hooks[name] = {'type': kind, **hooks.get(name, {})}
    checkpoint = hooks.setdefault('checkpoint', {'type': 'CheckpointHook', 'interval': 1})
    if checkpoint is not None and checkpoint.get('type') in _PLAIN_CHECKPOINTS:
        hooks['checkpoint'] = {**checkpoint, 'type': 'mmvitdense.WholeCheckpointHook'}
    length, logger = (cfg.get('train_cfg') or {}).get('max_iters'), hooks.get('logger')
    if length and logger and length < logger.get('interval', _LOGGED_EVERY):
        hooks['logger'] = {**logger, 'interval': max(1, length // 10)}
    cfg.default_hooks = hooks
