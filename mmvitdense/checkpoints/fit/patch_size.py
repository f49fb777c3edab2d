"""Patch embeddings for another patch size, such as 14 -> 16 pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MODES = ('pinv', 'pinv_antialias', 'bilinear')


def resize_patch_embedding(weight: Tensor, patch_size: tuple[int, int], mode: str = 'pinv') -> Tensor:
    """Resize the kernel of a patch embedding.

    Args:
        weight: C x in_channels x p x p.
        patch_size: Height and width wanted.
        mode: 'pinv' makes the tokens of an image that is resized with its patches as equal as can be, by the
            pseudo-inverse of the bicubic resize (FlexiViT, arXiv 2212.08013, section 3.4). 'pinv_antialias' does so for
            the smoothed resize, as timm and EoMT do. 'bilinear' resizes the kernel like an image, as ViT-Adapter does,
            which makes the tokens larger by the ratio of the areas.

    Returns:
        C x in_channels x patch_size, float32, or float64 where `weight` is.

    Raises:
        ValueError: `mode` is none of these.
    """
    if mode not in MODES:
        raise ValueError(f'a patch embedding is resized by one of {MODES}, got {mode!r}')
    weight = weight if weight.dtype == torch.float64 else weight.float()
    source = tuple(weight.shape[-2:])
    if source == tuple(patch_size):
        return weight
    if mode == 'bilinear':
        return F.interpolate(weight, size=patch_size, mode='bilinear', align_corners=False)
    resize = _resize_matrix(source, tuple(patch_size), antialias=mode == 'pinv_antialias')
    # Token of a patch x: <w, x>. Wanted is <v, R x> = <w, x> for every x, so R^T v = w in the least squares.
    inverse = torch.linalg.pinv(resize.T)
    return (weight.flatten(2).double() @ inverse.T).unflatten(2, patch_size).to(weight.dtype)


def _resize_matrix(source: tuple[int, int], target: tuple[int, int], antialias: bool) -> Tensor:
    """Matrix of the bicubic resize, target pixels x source pixels, in float64."""
    basis = torch.eye(source[0] * source[1], dtype=torch.float64).reshape(-1, 1, *source)
    resized = F.interpolate(basis, size=target, mode='bicubic', align_corners=False, antialias=antialias)
    return resized.flatten(1).T
