"""Models made faster for inference on a CPU."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmvitdense.layers.fusing import CONVOLUTIONS, Fusing, fuses

from .errors import InputError
from .freed_memory import keep_freed_memory
from .wide_heads import derived, give_float32

PRECISIONS = {'float32': torch.float32, 'bfloat16': torch.bfloat16}


def fuse_for_inference(model: nn.Module, precision: str = 'float32') -> nn.Module:
    """A copy of a model that predicts the same in less time on a CPU.

    LayerScale, LoRA and batch norms are folded into the layers before them, activations and residual sums are done in
    the products, weights are laid out as oneDNN multiplies them, and wide convolutions of 3 x 3 pixels are computed by
    Winograd's algorithm in float32, for which their weights take five times the memory. Where the processor or torch
    has not what that needs, the copy is as fast as the model. The model stays as it is: train, save, export or compile
    that.

    With glibc the process keeps memory that is freed, up to a gigabyte, as handing it back after every layer takes 4 %
    of the time of an adapter; `MALLOC_TRIM_THRESHOLD_` in the environment is left as it is.

    The copy is for inference alone: training mode, gradients, its state dict, a move to another device or type, and
    exports raise a RuntimeError. Modules with hooks, and what others put in their place, stay as they are.

    Args:
        model: Any module, on the CPU.
        precision: 'float32', for outputs within 1e-5 of the model's; or 'bfloat16', in which weights are kept, products
            and convolutions are computed and tokens are handed on, with the inside of norms and softmax in float32.

    Returns:
        The copy, in evaluation mode.

    Raises:
        InputError: Another precision, or a model that is not on the CPU.

    Example:
        >>> fused = fuse_for_inference(model)
        >>> with torch.no_grad():
        ...     outputs = fused(image)
    """
    if precision not in PRECISIONS:
        raise InputError(f'precision is {precision!r}; expected {" or ".join(map(repr, PRECISIONS))}.')
    devices = {str(tensor.device) for tensor in (*model.parameters(), *model.buffers())} - {'cpu'}
    if devices:
        raise InputError(f'The model is on {" and ".join(sorted(devices))}, expected the CPU: move it there first.')
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    dtype = PRECISIONS[precision]
    Fusing(fused, dtype).run()
    keep_freed_memory()
    if dtype == torch.float32:
        return fused
    for module in fused.modules():
        if type(module) in CONVOLUTIONS:
            module.to(dtype)
    give_float32(fused, maps=True)
    fused.__class__ = _with_autocast(type(fused))
    return fused


@cache
def _with_autocast(kind: type[nn.Module]) -> type[nn.Module]:
    """A class of models that compute in bfloat16 wherever they are called."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast('cpu', torch.bfloat16):
            return kind.forward(self, *args, **kwargs)

    return derived(kind, forward)


@fuses(ConvModule)
def _fuse_conv_module(module: ConvModule, fusing: Fusing) -> None:
    """The batch norm goes into the convolution before it."""
    if not module.with_norm or module.with_spectral_norm:
        return
    follows = module.order.index('norm') == module.order.index('conv') + 1
    if follows and fusing.fold_norm(module.conv, module.norm):
        setattr(module, module.norm_name, nn.Identity())
