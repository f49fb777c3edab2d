"""What layers have in common that are for inference on a CPU alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .recording import is_exporting

_INSTEAD = 'use the model that it was made from'


class InferenceLayer(nn.Module):
    """A layer whose weights are laid out anew: it has no gradients and no state dict, and stays where it is.

    A subclass has `dtype`, the type that it computes in.
    """

    dtype: torch.dtype

    def check(self, inputs: Tensor) -> None:
        """Refuse what is more than the inference of a CPU.

        Raises:
            RuntimeError: Training, gradients, compilation, an export or another device is asked for.
        """
        if inputs.device.type != 'cpu':
            raise RuntimeError(f'a fused model runs on the CPU, got tokens on {inputs.device}: {_INSTEAD}')
        if self.training:
            raise RuntimeError(f'a fused model is in training mode and cannot be trained: call eval(), or {_INSTEAD}')
        if (inputs.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0:
            raise RuntimeError(f'gradients are asked of a fused model, which has none: {_INSTEAD}')
        if torch.compiler.is_compiling() or is_exporting():
            raise RuntimeError(f'a fused model can be neither compiled nor exported: {_INSTEAD}')

    def _apply(self, fn, recurse: bool = True) -> InferenceLayer:
        before = torch.empty(0, dtype=self.dtype)
        after = fn(before)
        if (after.device, after.dtype) != (before.device, before.dtype):
            raise RuntimeError(
                f'a fused model stays on the CPU in {self.dtype}, and is moved to {after.device} in {after.dtype}: '
                f'{_INSTEAD}'
            )
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, *args: Any) -> None:
        raise RuntimeError(f'a fused model has no state dict: {_INSTEAD}')

    def _load_from_state_dict(self, *args: Any) -> None:
        raise RuntimeError(f'weights cannot be loaded into a fused model: {_INSTEAD}')
