"""Mixed precision on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmvitdense.registry import OPTIM_WRAPPERS


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
