"""Mixed precision by `--amp` and TF32 by `--tf32`, on GPUs and on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device

from .build_errors import nearest
from .errors import InputError

ONLY_AMP = ('loss_scale', 'dtype', 'use_fsdp')
"""Options of mmengine's `AmpOptimWrapper` that no other optimizer wrapper takes."""

TYPES = ('float16', 'bfloat16')
"""Of mixed precision, as `--amp` takes them."""

NO_SCALING = {'enabled': False}
"""`loss_scale` of bfloat16, which has the range of float32. With a scaler, even a constant one, steps with gradients
that are not finite would be left out without a word."""


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
    check_amp_type(dtype)
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind == 'AmpOptimWrapper' and dtype in (None, wrapper.get('dtype') or 'float16'):
        return ['--amp: the config trains in mixed precision already and is left as it is']
    if kind == 'AmpOptimWrapper':
        wrapper.dtype = dtype
        wrapper.loss_scale = _scaling(wrapper)
        return []
    if kind != 'OptimWrapper':
        raise InputError(
            f'--amp: expected optim_wrapper.type OptimWrapper or AmpOptimWrapper in the config, got {kind}.'
        )
    wrapper.type = 'AmpOptimWrapper'
    if dtype is not None:
        wrapper.dtype = dtype
    wrapper.loss_scale = _scaling(wrapper)
    return []


def _scaling(wrapper: Any) -> Any:
    return NO_SCALING if wrapper.get('dtype') == 'bfloat16' else 'dynamic'


def check_amp_type(dtype: str | None) -> None:
    """Refuse a type that mixed precision has not.

    Raises:
        InputError: it is neither None nor one of `TYPES`.
    """
    if dtype not in (None, *TYPES):
        raise InputError(f'--amp: expected {" or ".join(TYPES)}, got {dtype!r}{nearest(dtype, TYPES) or "."}')


def enable_test_amp(cfg: Any, dtype: str | None = None) -> list[str]:
    """Make the test of a config run in mixed precision, in place; return lines for the log.

    `precision` has to be in force while it runs.
    """
    check_amp_type(dtype)
    cfg.test_cfg.fp16 = True
    return ['No GPU: mixed precision is bfloat16 autocast on the CPU'] if get_device() == 'cpu' else []


@contextmanager
def precision(amp: str | bool | None, tf32: bool) -> Iterator[None]:
    """While inside, autocast without a type of its own is to `amp`, and products in float32 may round to TF32.

    Args:
        amp: 'float16' or 'bfloat16'; anything else leaves torch's type, float16 on GPUs.
        tf32: Products of matrices in float32 on NVIDIA GPUs from capability 8.0 on round their factors to 10 bits, as
            convolutions do by torch's own choice; without, they do not.
    """
    backend = torch.backends.cuda.matmul
    before = torch.get_autocast_dtype('cuda'), backend.allow_tf32
    try:
        if amp in TYPES:
            torch.set_autocast_dtype('cuda', getattr(torch, amp))
        if tf32:
            backend.allow_tf32 = True
        yield
    finally:
        torch.set_autocast_dtype('cuda', before[0])
        backend.allow_tf32 = before[1]


def tf32_notes(tf32: bool) -> list[str]:
    """Lines for the log on what `--tf32` does here."""
    if tf32 and get_device() != 'cuda':
        return ['--tf32: it is for NVIDIA GPUs and changes nothing here']
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
