"""Norms of tokens and of maps."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.LayerNorm):
    """Tokens over the root of their mean square, times a gain for each channel (arXiv 1910.07467; AIMv2).

    A subclass of `nn.LayerNorm`, without its shift, for rules such as "no weight decay for norms" go by that class.
    Computed in the wider of the types of tokens and gains.

    Args:
        num_channels: Channels of a token.
        eps: Added to the mean square.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6):
        super().__init__(num_channels, eps=eps, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise ... x num_channels."""
        dtype = torch.promote_types(tokens.dtype, self.weight.dtype)
        normed = F.rms_norm(tokens.to(dtype), self.normalized_shape, self.weight.to(dtype), self.eps)
        return normed.to(tokens.dtype)


TOKEN_NORMS = {'layer': nn.LayerNorm, 'rms': RMSNorm}
"""Norms of the tokens of a ViT, by the option `norm`; both take channels and `eps`."""


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of each position of a map (detectron2 `layers/batch_norm.py:LayerNorm`).

    Deliberately no subclass of `nn.LayerNorm`: rules such as "no weight decay for norms" go by that class, and
    ViTDet's recipe decays these weights.

    Args:
        num_channels: Channels of the map.
        eps: Added to the variance.
    """

    _abbr_ = 'ln'  # the name mmcv's ConvModule gives this child

    def __init__(self, num_channels: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def reset_parameters(self) -> None:
        """Start with gains of one and shifts of zero."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise B x num_channels x H x W."""
        channels_last = maps.permute(0, 2, 3, 1)
        normed = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f'{self.weight.shape[0]}, eps={self.eps}'


class _GradientLayout(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        return maps.view_as(maps)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.layout = torch.contiguous_format if output.is_contiguous() else torch.channels_last

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=ctx.layout)


def with_gradient_layout(maps: Tensor) -> Tensor:
    """The output of a batch norm, such that its gradient arrives in the layout of its memory."""
    return _GradientLayout.apply(maps) if maps.device.type == 'cpu' and maps.requires_grad else maps


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, with right gradients on a CPU.

    There torch (2.15 and before) computes wrong gradients of a batch norm, without an error, for a batch of one image
    where one of output and gradient is "channels last" and the other not. What replaces this class by torch's own, as
    `nn.SyncBatchNorm.convert_sync_batchnorm` does, brings that back.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise B x num_features x H x W.

        Raises:
            ValueError: In training, one image of one place.
        """
        if self.training and maps.numel() == self.num_features:
            # torch's sentence does not say what to do.
            raise ValueError(
                f'Expected more than 1 value per channel when training, got input size {tuple(maps.shape)}: give each '
                'process two images, or several processes a SyncBN'
            )
        return with_gradient_layout(super().forward(maps))


class SyncBatchNorm(BatchNorm2d):
    """`nn.SyncBatchNorm` where several processes train together, else `BatchNorm2d`.

    It is no `nn.SyncBatchNorm`, so that mmengine's `revert_sync_batchnorm` leaves it as it is: what that puts in
    the place of one has the wrong gradients again that `BatchNorm2d` mends, and without other processes there is
    nothing to revert.

    Args:
        num_features: Channels of the maps.
        *args: As in `nn.BatchNorm2d`.
        process_group: The processes to synchronise with, all by default.
        **kwargs: As in `nn.BatchNorm2d`.
    """

    # All that the forward pass of torch's needs besides what a batch norm has.
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def __init__(self, num_features: int, *args: Any, process_group: Any | None = None, **kwargs: Any):
        super().__init__(num_features, *args, **kwargs)
        self.process_group = process_group

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise B x num_features x H x W.

        Raises:
            ValueError: Several processes train, and the maps are on a CPU: torch synchronises on GPUs alone.
        """
        if not self._has_partners():
            return super().forward(maps)
        return nn.SyncBatchNorm.forward(self, maps)

    def _has_partners(self) -> bool:
        together = self.training and dist.is_available() and dist.is_initialized()
        return together and dist.get_world_size(self.process_group) > 1


NORMS_2D = {'BN': BatchNorm2d, 'SyncBN': SyncBatchNorm, 'LN': LayerNorm2d, 'GN': nn.GroupNorm}


def build_norm2d(cfg: dict, num_channels: int) -> nn.Module:
    """Build the norm of a map from a config in the manner of mmcv.

    Args:
        cfg: `dict(type='BN' | 'SyncBN' | 'LN' | 'GN', ...)` with options of the class; 'GN' needs `num_groups`;
            'LN' is `LayerNorm2d`. `requires_grad=False` freezes its parameters.
        num_channels: Channels of the map.

    Raises:
        ValueError: another type.
    """
    options = dict(cfg)
    kind, requires_grad = options.pop('type', None), options.pop('requires_grad', True)
    if kind not in NORMS_2D:
        raise ValueError(f'the type of norm_cfg must be one of {tuple(NORMS_2D)}, got {kind!r}')
    if kind == 'GN':
        layer = nn.GroupNorm(num_channels=num_channels, **options)
    else:
        layer = NORMS_2D[kind](num_channels, **options)
    return layer.requires_grad_(requires_grad)
