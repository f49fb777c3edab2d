"""The maps that ViT-Adapter, ViT-CoMer and ViT-Hook return: sums of the branch, the stem and the ViT, normed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvitdense.layers.norm import with_gradient_layout
from mmvitdense.ops.linear_layer import is_unwatched
from mmvitdense.ops.recording import is_trained
from mmvitdense.ops.token_maps import can_sum, channels_first, sum_maps


def normed_sum(norm: nn.Module, maps: Sequence[Tensor], feature: Tensor | None) -> Tensor:
    """Add maps and norm the sum. What is bound by memory is one pass over it on a CPU where nothing is trained.

    Args:
        norm: Of maps.
        maps: One or two, B x C x H x W.
        feature: B x C x h x w, resized bilinearly and added; None for none.

    Returns:
        B x C x H x W, contiguous where the norm gives it so.
    """
    size = maps[0].shape[2:]
    if can_sum(*maps, *([] if feature is None else [feature])):
        resized = None if feature is None or feature.shape[2:] == size else feature
        summands = maps if feature is None or resized is not None else [*maps, feature]
        affine = _affine(norm)
        total = sum_maps(summands, resized, *affine)
        return total if affine else norm(total)
    total = maps[0] if len(maps) == 1 else maps[0] + maps[1]
    if feature is not None:
        feature = _like_tokens(feature)
        if feature.shape[2:] != size:
            feature = F.interpolate(feature, size=size, mode='bilinear', align_corners=False)
        total = total + feature
    return norm(channels_first(with_gradient_layout(total)))


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor] | tuple[()]:
    """Gain and shift of a batch norm by its statistics; nothing where the norm is more than these, or is trained."""
    fixed = isinstance(norm, _BatchNorm) and not norm.training and norm.running_var is not None
    if not fixed or not is_unwatched(norm) or is_trained(*norm.parameters()) or norm.running_var.dtype != torch.float32:
        return ()
    gain = (norm.running_var + norm.eps).rsqrt()
    gain = gain if norm.weight is None else gain * norm.weight
    shift = -norm.running_mean * gain
    return gain, shift if norm.bias is None else shift + norm.bias


def _like_tokens(maps: Tensor) -> Tensor:
    """On a CPU the layout of the levels, to which the map is added: sums of two layouts take several times as long."""
    return maps.contiguous(memory_format=torch.channels_last) if maps.is_cpu else maps
