"""Mixed precision by `--amp`, on GPUs and on CPUs."""

from __future__ import annotations

from typing import Any

from mmengine.device import get_device

from .build_errors import nearest
from .errors import InputError

ONLY_AMP = ('loss_scale', 'dtype', 'use_fsdp')
"""Options of mmengine's `AmpOptimWrapper` that no other optimizer wrapper takes."""

TYPES = ('float16', 'bfloat16')
"""Of mixed precision, as `--amp` takes them."""


def enable_amp(cfg: Any, dtype: str | None = None) -> list[str]:
    """Make the config train in mixed precision, in place; return lines for the log.

    Args:
        cfg: The config.
        dtype: 'float16', with dynamic scaling of the loss, or 'bfloat16', which needs none; None leaves it to the
            config, and to float16 where that names none.

    Raises:
        InputError: the optimizer wrapper is of a kind of its own, which mixed precision would replace, or the type is
            not known.
    """
    if dtype not in (None, *TYPES):
        raise InputError(f'--amp: expected {" or ".join(TYPES)}, got {dtype!r}{nearest(dtype, TYPES) or "."}')
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper' and dtype in (None, wrapper.get('dtype') or 'float16'):
        return ['--amp: the config trains in mixed precision already and is left as it is']
    if kind == 'AmpOptimWrapper':
        wrapper.dtype = dtype
        return []
    if kind != 'OptimWrapper':
        raise InputError(
            f'--amp: expected optim_wrapper.type OptimWrapper or AmpOptimWrapper in the config, got {kind}.'
        )
    wrapper.type = 'AmpOptimWrapper'
    if dtype is not None:
        wrapper.dtype = dtype
    wrapper.loss_scale = 1.0 if wrapper.get('dtype') == 'bfloat16' else 'dynamic'
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
