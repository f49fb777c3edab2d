"""Attention with widened queries: which of torch's kernels take it, and how fast, for several widths of the values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from .hardware import median_seconds
from .rows import MEASURED, Report

CASES = {
    # batch, heads, tokens, width of queries, width of values
    'windows B': (25, 12, 196, 96, 64),
    'global B': (1, 12, 4096, 192, 64),
    'windows H': (25, 16, 196, 112, 80),
    'global H': (1, 16, 4096, 208, 80),
}
TYPES = {'bfloat16': torch.bfloat16, 'float32': torch.float32}
_NAMES = {backend.value: name.lower() for name, backend in SDPBackend.__members__.items()}


def run(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """A row for each case, type and width of the values."""
    for name in names:
        batch, heads, tokens, wide, narrow = CASES[name]
        if device == 'cpu':
            batch, tokens = 1, 16
        for label, dtype in TYPES.items():
            for width in sorted({narrow, 128, wide}):
                if narrow <= width <= wide:
                    with report.guard(f'{name} {label} values of {width}') as row:
                        _measure((batch, heads, tokens), wide, narrow, width, dtype, device, row)


def _measure(
    shape: tuple[int, int, int], wide: int, narrow: int, width: int, dtype: torch.dtype, device: str, row: dict
) -> None:
    query, key = (torch.randn(*shape, wide, device=device, dtype=dtype, requires_grad=True) for _ in range(2))
    value = torch.randn(*shape, narrow, device=device, dtype=dtype, requires_grad=True)
    cotangent = torch.randn_like(value)

    def forward() -> torch.Tensor:
        padded = F.pad(value, (0, width - narrow))
        return F.scaled_dot_product_attention(query, key, padded, scale=narrow**-0.5)[..., :narrow]

    def step() -> None:
        torch.autograd.grad(forward(), (query, key, value), cotangent)

    padded = F.pad(value, (0, width - narrow))
    chosen = _NAMES.get(torch._fused_sdp_choice(query, key, padded), '?')
    row.update(status=MEASURED, kernel=chosen, forward_ms=1e3 * median_seconds(torch.no_grad()(forward), device))
    row['step_ms'] = 1e3 * median_seconds(step, device)
    row['detail'] = f'{chosen}: forward {row["forward_ms"]:.3f} ms, with backward {row["step_ms"]:.3f} ms'
