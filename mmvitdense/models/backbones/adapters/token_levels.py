"""Maps of several sizes as one sequence of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mmvitdense.ops.recording import is_trained, runs_here


class TokenLevels:
    """How a sequence of tokens is made of maps: level after level, each row by row.

    A map cut out of such a sequence is a view whose memory is "channels last", which convolutions take as it is.

    Args:
        grids: (h, w) of each level.
        device: Where the tokens are.

    Attributes:
        grids: As given.
        lengths: Tokens of each level.
        centres: Of all tokens, 1 x N x 1 x 2 as (x, y) in 0..1 of their map, in float32.
    """

    def __init__(self, grids: Sequence[tuple[int, int]], device: torch.device):
        self.grids = tuple(tuple(grid) for grid in grids)
        self.lengths = [height * width for height, width in self.grids]
        self.centres = torch.cat([_centres(height, width, device) for height, width in self.grids])[None, :, None]

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """Put one B x C x h x w for each level together: B x N x C."""
        return torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in maps], dim=1)

    def maps(self, tokens: Tensor) -> list[Tensor]:
        """Cut B x N x C into one B x C x h x w for each level, without copying."""
        parts = tokens.split(self.lengths, dim=1)
        return [part.unflatten(1, grid).permute(0, 3, 1, 2) for part, grid in zip(parts, self.grids)]

    def add_to(self, tokens: Tensor, level: int, summand: Tensor) -> Tensor:
        """Add B x h*w x C to the tokens of one level."""
        if is_trained(tokens, summand) and runs_here(tokens, summand):
            return _AddTo.apply(tokens, summand, sum(self.lengths[:level]))
        parts = list(tokens.split(self.lengths, dim=1))
        parts[level] = parts[level] + summand
        return torch.cat(parts, dim=1)


class _AddTo(torch.autograd.Function):
    """Add to a range of tokens. The gradient of all is the one that arrives, where a sum of parts would be put together
    anew."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tokens: Tensor, summand: Tensor, start: int) -> Tensor:
        stop = start + summand.shape[1]
        return torch.cat([tokens[:, :start], tokens[:, start:stop] + summand, tokens[:, stop:]], dim=1)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
        _, summand, ctx.start = inputs
        ctx.length = summand.shape[1]

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad, grad[:, ctx.start : ctx.start + ctx.length], None


def _centres(height: int, width: int, device: torch.device) -> Tensor:
    rows = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
    columns = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    return torch.stack(torch.meshgrid(columns, rows, indexing='xy'), dim=-1).flatten(0, 1)
