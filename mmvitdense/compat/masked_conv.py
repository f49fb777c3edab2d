"""Convolution at chosen positions: the functions of `mmcv._ext` behind `mmcv.ops.masked_conv2d`, which guided-anchor
heads use for inference. mmcv gives it no backward pass."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    features: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    data_col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill `data_col` (C * kernel_h * kernel_w, K) with the patches of `features` (1, C, H, W) around K positions."""
    padded = F.pad(features[0], (pad_w, pad_w, pad_h, pad_h))
    row = mask_h_idx + torch.arange(kernel_h, device=features.device)[:, None, None]
    column = mask_w_idx + torch.arange(kernel_w, device=features.device)[:, None]
    data_col.copy_(padded[:, row, column].reshape(data_col.shape))


def masked_col2im_forward(
    data_col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, output: Tensor, height: int, width: int, channels: int
) -> None:
    """Write `data_col` (C, K) into `output` (1, C, height, width) at the K positions."""
    output[0, :, mask_h_idx, mask_w_idx] = data_col.to(output.dtype)
