"""Fields of a config that belong together, and numbers in them, checked before anything is built."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import torch

from .build_errors import nearest, parts_below, shown
from .config import refuse_mistyped_fields
from .errors import InputError
from .rate_rule import RULES

_TOGETHER = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
_DICTS = ('model', 'optim_wrapper', 'train_cfg', 'default_hooks', 'env_cfg', 'randomness', 'train_dataloader',
          'val_dataloader', 'test_dataloader', 'visualizer', 'log_processor', 'auto_scale_lr')  # fmt: skip
_DEFAULT_HOOKS = (
    'runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint', 'visualization', 'repeatable',
    'finite_loss', 'work_dir', 'processes',
)  # fmt: skip
_AT_LEAST_ONE = ('max_iters', 'max_epochs', 'val_interval', 'val_begin')
_MOST_IN_A_BATCH, _MOST_WORKERS = 2**16, 2**10
_READ_LENIENTLY = {
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'auto_scale_lr': {'enable', 'base_batch_size', 'rule'},
}  # fmt: skip
"""Settings whose readers take what they know and pass over the rest."""


def check_parts(cfg: Any) -> None:
    """Check what mmengine finds out late, not at all, or with a message that holds the whole config.

    Raises:
        InputError: A part of a triple is missing, a number is too small, a field is of another kind or mistyped.
    """
    refuse_mistyped_fields(cfg)
    for name in _DICTS:
        if cfg.get(name) is not None and not isinstance(cfg[name], dict):
            raise InputError(f'{name}: expected a dict, got {shown(cfg[name])}.')
    if not cfg.get('model'):
        raise InputError('The config has no model; expected model = dict(type=...).')
    for split, names in _TOGETHER.items():
        given = [name for name in names if cfg.get(name) is not None]
        missing = [name for name in names if cfg.get(name) is None]
        if given and missing:
            raise InputError(
                f'{", ".join(given)} without {" and ".join(missing)}: a config gives all three of {", ".join(names)} '
                f'or none; add {" and ".join(missing)}, or set {" and ".join(given)} to None to leave {split} out.'
            )
    if cfg.get('param_scheduler') and cfg.get('optim_wrapper') is None:
        raise InputError('param_scheduler without optim_wrapper: there is no learning rate to schedule.')
    _check_fields(cfg)
    _check_numbers(cfg)
    _check_loaders(cfg)
    _check_evaluators(cfg)
    _check_milestones(cfg)
    _check_lenient(cfg)
    _check_hooks(cfg)


def hook_settings(cfg: Any) -> Iterator[tuple[str, Any]]:
    """(key, settings) of each hook of a config."""
    for name, hook in (cfg.get('default_hooks') or {}).items():
        yield f'default_hooks.{name}', hook
    for number, hook in enumerate(cfg.get('custom_hooks') or []):
        yield f'custom_hooks.{number}', hook


def _check_fields(cfg: Any) -> None:
    """Fields that mmengine reads late, or of which it takes anything that is not empty."""
    for name, kinds, expected in (
        ('load_from', (str, os.PathLike), 'the path or address of a checkpoint'),
        ('log_level', (str, int), "the name of a level, such as 'INFO'"),
        ('compile', (bool, dict), 'True, False or a dict of arguments of torch.compile'),
        ('find_unused_parameters', (bool,), 'True or False'),
        ('resume', (bool,), 'True or False (--resume takes a checkpoint)'),
    ):
        if cfg.get(name) is not None and not isinstance(cfg[name], kinds):
            raise InputError(f'{name}: expected {expected}, got {shown(cfg[name])}.')
    if cfg.get('sync_bn') not in (None, False, 'torch', 'mmcv'):
        raise InputError(f"sync_bn: expected 'torch', 'mmcv' or None, got {shown(cfg.sync_bn)}.")
    if isinstance(cfg.get('compile'), dict):
        known = {'target', *inspect.signature(torch.compile).parameters} - {'model'}
        for name in cfg.compile.keys() - known:
            raise InputError(f'compile.{name}: torch.compile takes no {name!r}{nearest(name, known) or "."}')


def _check_numbers(cfg: Any) -> None:
    loop = cfg.get('train_cfg') or {}
    for name in _AT_LEAST_ONE:
        if name in loop:
            _whole_number(f'train_cfg.{name}', loop[name], 1)
    pairs = loop.get('dynamic_intervals') or ()
    numbers = pairs if isinstance(pairs, (list, tuple)) else [pairs]
    for pair in numbers:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise InputError(f'train_cfg.dynamic_intervals: expected pairs (milestone, interval), got {shown(pairs)}.')
        for number, least in zip(pair, (0, 1)):
            _whole_number('train_cfg.dynamic_intervals', number, least)
    wrapper = cfg.get('optim_wrapper') or {}
    if 'accumulative_counts' in wrapper:
        _whole_number('optim_wrapper.accumulative_counts', wrapper.accumulative_counts, 1)
    if (rule := (cfg.get('auto_scale_lr') or {}).get('rule', RULES[0])) not in RULES:
        raise InputError(f'auto_scale_lr.rule: expected {" or ".join(map(repr, RULES))}, got {shown(rule)}.')
    optimizer = wrapper.get('optimizer', {'type': ''})
    if optimizer is None or (isinstance(optimizer, (str, list, dict)) and 'type' not in optimizer):
        raise InputError(f'optim_wrapper.optimizer: expected a dict with its type, got {shown(optimizer)}.')
    clipping = wrapper.get('clip_grad')
    for name in ('max_norm', 'clip_value') if isinstance(clipping, dict) else ():
        value = clipping.get(name, 1)
        if isinstance(value, (int, float)) and not value > 0:
            raise InputError(f'optim_wrapper.clip_grad.{name}: expected a number above 0, got {shown(value)}.')


def _check_evaluators(cfg: Any) -> None:
    for name in ('val_evaluator', 'test_evaluator'):
        metrics = cfg.get(name)
        several = metrics if isinstance(metrics, (list, tuple)) else [metrics]
        if metrics is not None and (not several or not all(isinstance(each, dict) for each in several)):
            raise InputError(
                f'{name}: expected a dict with the type of a metric, or a list of them, got {shown(metrics)}.'
            )


def _check_loaders(cfg: Any) -> None:
    for split in _TOGETHER:
        loader = cfg.get(f'{split}_dataloader') or {}
        for name, least, most in (('batch_size', 1, _MOST_IN_A_BATCH), ('num_workers', 0, _MOST_WORKERS)):
            _whole_number(f'{split}_dataloader.{name}', loader.get(name, least), least, most)
        if loader.get('prefetch_factor') is not None:
            _whole_number(f'{split}_dataloader.prefetch_factor', loader.prefetch_factor, 1, _MOST_IN_A_BATCH)
        for name in ('pin_memory', 'drop_last', 'persistent_workers'):
            if not isinstance(loader.get(name, False), bool):
                raise InputError(f'{split}_dataloader.{name}: expected True or False, got {shown(loader[name])}.')
        for name in ('sampler', 'batch_sampler', 'dataset'):
            if isinstance(loader.get(name), (str, int, float, list, tuple)):
                raise InputError(
                    f'{split}_dataloader.{name}: expected a dict with its type, got {shown(loader[name])}.'
                )
        if loader.get('persistent_workers') and not loader.get('num_workers'):
            raise InputError(
                f'{split}_dataloader.persistent_workers is True and num_workers is {loader.get("num_workers", 0)}: '
                f'there are no workers to keep; set {split}_dataloader.persistent_workers=False, or num_workers to 1 '
                'or more.'
            )


def _check_milestones(cfg: Any) -> None:
    for key, part in parts_below(cfg.get('param_scheduler'), 'param_scheduler'):
        if not isinstance(part, dict) or 'milestones' not in part:
            continue
        stones = part['milestones']
        if not isinstance(stones, (list, tuple)) or not all(type(stone) is int and stone >= 0 for stone in stones):
            raise InputError(f'{key}.milestones: expected a list of whole numbers, got {shown(stones)}.')


def _whole_number(key: str, value: Any, least: int, most: int | None = None) -> None:
    whole = type(value) is int or (most is None and isinstance(value, float) and value.is_integer())
    if not whole or value < least:
        raise InputError(f'{key}: expected a whole number of at least {least}, got {shown(value)}.')
    if most is not None and value > most:
        raise InputError(f'{key}: expected at most {most}, got {shown(value)}.')


def _check_lenient(cfg: Any) -> None:
    for key, known in _READ_LENIENTLY.items():
        node = cfg
        for name in key.split('.'):
            node = node.get(name) if isinstance(node, dict) or hasattr(node, 'get') else None
        for name in set(node if isinstance(node, dict) else ()) - known:
            if hint := nearest(name, known, 0.8):
                raise InputError(f'{key}.{name}: nothing reads such a field{hint}')


def _check_hooks(cfg: Any) -> None:
    if not isinstance(cfg.get('custom_hooks') or [], (list, tuple)):
        raise InputError(f'custom_hooks: expected a list of dicts, got {shown(cfg.custom_hooks)}.')
    for key, hook in hook_settings(cfg):
        if not isinstance(hook, dict):
            if isinstance(hook, (str, int, float)) or (hook is None and key.startswith('custom')):
                raise InputError(f'{key}: expected a dict with the type of a hook, got {shown(hook)}.')
            continue
        if 'type' not in hook:
            hint = nearest(key.partition('.')[2], set(_DEFAULT_HOOKS), 0.7) if key.startswith('default') else ''
            raise InputError(f'{key}: {shown(dict(hook))} has no type{hint or "; add type=, the class of the hook."}')
        interval = hook.get('interval')
        if interval is not None and (isinstance(interval, bool) or not isinstance(interval, (int, float))):
            raise InputError(f'{key}.interval: expected a whole number, got {shown(interval)}.')
