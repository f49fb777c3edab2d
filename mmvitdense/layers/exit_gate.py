"""After how many layers an encoder stops: the gate that chooses by image, random depths, and the count of both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .precision import without_autocast


class ExitGate(nn.Module):
    """A linear layer on the mean token that scores each depth at which an encoder may stop (ECO-M2F, arXiv 2404.15244).

    Args:
        embed_dims: Channels of the tokens.
        num_layers: Layers of the encoder, the largest depth.
        min_depth: The smallest depth.

    Attributes:
        step: Seed of the next random depth; `ExitDepthHook` sets it to the iteration, so that all processes and a
            resumed run draw the same. Without the hook it counts the draws.
        counts: {depth: images} since it was last cleared.

    Raises:
        ValueError: `min_depth` is not between 1 and `num_layers`.
    """

    def __init__(self, embed_dims: int, num_layers: int, min_depth: int = 2):
        if not 1 <= min_depth <= num_layers:
            raise ValueError(f'min_depth must be from 1 to the {num_layers} layers of the encoder, got {min_depth}')
        super().__init__()
        self.depths = tuple(range(min_depth, num_layers + 1))
        self.head = nn.Linear(embed_dims, len(self.depths))
        nn.init.zeros_(self.head.bias)
        self.step = 0
        self.counts: Counter[int] = Counter()

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Score the depths, in float32 also under autocast.

        Args:
            tokens: B x N x embed_dims, of the coarsest map, before the encoder.
            padding: B x N, true where a token is padding and does not count.

        Returns:
            B x number of depths, the logits.
        """
        with without_autocast(tokens):
            tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
            if padding is None:
                mean = tokens.mean(dim=1)
            else:
                kept = (~padding).unsqueeze(-1)
                mean = (tokens * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
            return self.head(mean.to(self.head.weight.dtype))

    def choose(self, logits: Tensor) -> list[int]:
        """The depth of each image with the highest logit."""
        return [self.depths[index] for index in logits.argmax(dim=1).tolist()]

    def draw(self) -> int:
        """A depth at random, by the step alone, and one step on."""
        depth = random.Random(self.step).choice(self.depths)
        self.step += 1
        return depth

    def count(self, depths: Sequence[int]) -> None:
        """Count the depths of these images."""
        self.counts.update(depths)
