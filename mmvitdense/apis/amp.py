"""Mixed precision by `--amp`, on GPUs and on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from .errors import InputError

_ONLY_AMP = ('loss_scale', 'dtype', 'use_fsdp')


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """What mmengine's `AmpOptimWrapper` is on GPUs, for CPUs, where that class refuses to be built.

    The forward pass runs under bfloat16 autocast. bfloat16 has the exponent range of float32, so the loss is not
    scaled.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward passes in this context are autocast; gradients accumulate as in `OptimWrapper`."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield


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
    if wrapper.get('type') != 'AmpOptimWrapper' or get_device() != 'cpu':
        return []
    wrapper.type = 'CpuAmpOptimWrapper'
    for key in _ONLY_AMP:
        wrapper.pop(key, None)
    return ['No GPU: mixed precision is bfloat16 autocast on the CPU, without loss scaling']
