"""Point-wise spatial attention (Zhao et al. 2018): the functions of `mmcv._ext` behind `mmcv.ops.PSAMask`.

The input holds, for every position, a window of weights centred on it. The output spreads it over the whole map:
"distribute" gives B x (position) x (where the weight points), "collect" the transpose.
"""

import torch
from torch import Tensor

_COLLECT = 0


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill `output` (B, H * W, H, W) from `input` (B, h_mask * w_mask, H, W)."""
    position, target, channel = _pairs(h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask, input.device)
    if psa_type == _COLLECT:
        position_out, target_out = target, position
    else:
        position_out, target_out = position, target
    output.zero_()
    output.flatten(2)[:, position_out, target_out] = input.flatten(2)[:, channel, position]


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill `grad_input` (B, h_mask * w_mask, H, W)."""
    position, target, channel = _pairs(
        h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask, grad_output.device
    )
    if psa_type == _COLLECT:
        position_out, target_out = target, position
    else:
        position_out, target_out = position, target
    grad_input.zero_()
    grad_input.flatten(2)[:, channel, position] = grad_output.flatten(2)[:, position_out, target_out]


def _pairs(
    height: int, width: int, mask_height: int, mask_width: int, half_height: int, half_width: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """All (position, target, mask channel) of which the target lies in the position's window, positions row-major."""
    row = torch.arange(height, device=device)
    column = torch.arange(width, device=device)
    mask_row = (row - row[:, None] + half_height)[:, None, :, None]
    mask_column = (column - column[:, None] + half_width)[None, :, None, :]
    valid = (mask_row >= 0) & (mask_row < mask_height) & (mask_column >= 0) & (mask_column < mask_width)
    channel = (mask_row * mask_width + mask_column).flatten(2).flatten(0, 1)
    position, target = valid.flatten(2).flatten(0, 1).nonzero(as_tuple=True)
    return position, target, channel[position, target]
