"""The precision that a device is good at."""

from __future__ import annotations

from typing import Any

import torch

from mmvitdense.ops.processor import multiplies_bfloat16

from ..amp import NO_SCALING, ONLY_AMP
from .given import Given

_WRAPPERS = ('OptimWrapper', 'AmpOptimWrapper')


def adapt_precision(cfg: Any, given: Given) -> list[str]:
    """Let a config train in bfloat16 where the device computes in it, else in float32, in place.

    A precision that the config names, by `dtype` or an optimizer wrapper of its own, stays, and so does the loss
    scaling of a recipe in mixed precision on a GPU without bfloat16.

    Args:
        cfg: The config, before anything of it was made to fit the device.
        given: What a person gave, which stays.

    Returns:
        What was changed.
    """
    from mmengine.device import get_device

    wrapper, device = cfg.optim_wrapper, get_device()
    kind = str(wrapper.get('type', 'OptimWrapper')).rpartition('.')[2]
    chosen = wrapper.get('dtype') is not None or any(f'optim_wrapper.{name}' in given for name in ('type', *ONLY_AMP))
    if kind not in _WRAPPERS or chosen or device not in ('cuda', 'cpu'):
        return []
    mixed = kind == 'AmpOptimWrapper'
    if has_bfloat16(device):
        wrapper.type, wrapper.dtype = 'AmpOptimWrapper', 'bfloat16'
        wrapper.loss_scale = NO_SCALING
        before = 'float16 with loss scaling' if mixed else 'float32'
        return [f'bfloat16 instead of {before}: the {_NAMES[device]} has it.']
    if device == 'cuda' or not mixed:
        return []
    wrapper.type = 'OptimWrapper'
    for key in ONLY_AMP:
        wrapper.pop(key, None)
    return ['float32 instead of mixed precision: this CPU does not compute in bfloat16.']


_NAMES = {'cuda': 'GPU', 'cpu': 'CPU'}


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies matrices in bfloat16, and does not only imitate it."""
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return multiplies_bfloat16()
