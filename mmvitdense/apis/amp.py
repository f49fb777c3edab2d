"""Mixed precision by `--amp`, on GPUs and on CPUs."""

from __future__ import annotations

from typing import Any

from mmengine.device import get_device

from .build_errors import nearest
from .errors import InputError

ONLY_AMP = ('loss_scale', 'dtype', 'use_fsdp')
"""Options of mmengine's `AmpOptimWrapper` that no other optimizer wrapper takes."""


def enable_amp(cfg: Any) -> list[str]:
    """Make the config train in mixed precision with dynamic loss scaling, in place; return lines for the log.

    Raises:
        InputError: the optimizer wrapper is of a kind of its own, which mixed precision would replace.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper':
        return ['--amp: the config trains in mixed precision already and is left as it is']
    if kind != 'OptimWrapper':
        raise InputError(
            f'--amp: expected optim_wrapper.type OptimWrapper or AmpOptimWrapper in the config, got {kind}.'
        )
    wrapper.type = 'AmpOptimWrapper'
    wrapper.loss_scale = 'dynamic'
    return []


def amp_for_device(cfg: Any) -> list[str]:
    """Without an accelerator, replace `AmpOptimWrapper` by its CPU form, in place; return lines for the log."""
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('type') != 'AmpOptimWrapper':
        return []
    _check_options(wrapper)
    if get_device() != 'cpu':
        return []
    wrapper.type = 'mmvitdense.CpuAmpOptimWrapper'
    for key in ONLY_AMP:
        wrapper.pop(key, None)
    return ['No GPU: mixed precision is bfloat16 autocast on the CPU, without loss scaling']


def _check_options(wrapper: Any) -> None:
    """Refuse texts that mmengine's wrapper does not know, also where the CPU has no use for them."""
    for name, known in (('loss_scale', ('dynamic',)), ('dtype', ('float16', 'bfloat16', 'float64'))):
        value = wrapper.get(name)
        if isinstance(value, str) and value not in known:
            expected = f'expected {" or ".join(map(repr, known))}'
            raise InputError(f'optim_wrapper.{name}: {expected}, got {value!r}{nearest(value, known) or "."}')
