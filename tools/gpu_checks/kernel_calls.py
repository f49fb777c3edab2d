"""Calls of every kernel with every type, small and of odd shapes: what compute-sanitizer runs.

usage: python -m tools.gpu_checks.kernel_calls DEVICE
"""

from __future__ import annotations

import sys

import torch

from mmvitdense import ops

SHAPES = (
    # levels, queries (None: the pixels of the maps), heads, channels, points
    ([(9, 7), (5, 4)], 11, 2, 32, 3),
    ([(6, 6), (3, 3)], None, 3, 8, 4),
    ([(1, 1)], 5, 1, 5, 1),
    ([(8, 8), (4, 4), (2, 2)], None, 2, 64, 4),
    ([(4, 3)], 3, 2, 130, 2),
)


def calls(device: str, dtype: torch.dtype) -> int:
    """Forwards and backwards of both functions, with the atomic and the deterministic backward pass."""
    count = 0
    wide = torch.promote_types(dtype, torch.float32)
    for levels, queries, heads, channels, points in SHAPES:
        pixels = sum(h * w for h, w in levels)
        samples = (2, queries or pixels, heads, len(levels), points)
        value = torch.randn(2, pixels, heads, channels).to(device, dtype).requires_grad_()
        locations = (torch.rand(*samples, 2) * 1.4 - 0.2).to(device, wide).requires_grad_()
        weights = torch.rand(samples).to(device, wide).requires_grad_()
        offsets = (3 * torch.randn(*samples, 2)).to(device, dtype).requires_grad_()
        reference = torch.rand(1, samples[1], 1, 2).to(device, wide).requires_grad_()
        logits = torch.randn(samples).to(device, dtype).requires_grad_()
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            for output, inputs in (
                (ops.ms_deform_attn(value, levels, locations, weights), (value, locations, weights)),
                (
                    ops.ms_deform_attn_fused(value, levels, reference, offsets, logits),
                    (value, reference, offsets, logits),
                ),
            ):
                torch.autograd.grad(output, inputs, torch.ones_like(output))
                count += 2
    torch.use_deterministic_algorithms(False)
    return count


def main() -> None:
    device = sys.argv[1]
    torch.manual_seed(0)
    ops.set_backend('compiled')
    print('calls:', sum(calls(device, t) for t in (torch.float64, torch.float32, torch.float16, torch.bfloat16)))
    if device == 'cuda':
        torch.cuda.synchronize()


if __name__ == '__main__':
    main()
