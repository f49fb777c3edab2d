"""What attention is given of positions, and the tables of them that a module owns."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .recorded import RecordsPositions
from .rotary import Rotation


class AttentionPosition(NamedTuple):
    """Positions as they enter the logits at one grid; any part may be None.

    Attributes:
        rotation: How queries and keys are rotated.
        bias: heads x N x N, added to the logits.
        decomposed: Tables of the two axes whose products with the queries are added to the logits, see
            `attention_with_relative_position`.
    """

    rotation: Rotation | None = None
    bias: Tensor | None = None
    decomposed: tuple[Tensor, Tensor] | None = None

    def of_last(self, count: int) -> AttentionPosition:
        """Those of the last `count` tokens."""
        rotation, bias, _ = self
        if rotation is not None and rotation.cos.shape[0] != count:
            rotation = rotation.of_last(count)
        if bias is not None and bias.shape[-1] != count:
            bias = bias[:, -count:, -count:]
        return AttentionPosition(rotation, bias, self.decomposed)

    def joined(self, other: AttentionPosition | None) -> AttentionPosition:
        """The parts of both; each is in one of them."""
        if other is None:
            return self
        return AttentionPosition(*(mine if mine is not None else its for mine, its in zip(self, other)))


class PositionTables(Protocol):
    """Describes learned tables of positions, whose parameters the module that owns them has under its own name."""

    def shapes(self, num_heads: int, head_dims: int) -> dict[str, tuple[int, ...]]:
        """{name of a parameter: its shape}."""

    def position(self, owner: nn.Module, grid: tuple[int, int], prefix: int) -> AttentionPosition:
        """What the tables of `owner` give for h*w patches after `prefix` other tokens."""

    def grids(self) -> dict[str, tuple[int, int]]:
        """See `RecordsPositions.table_grids`."""


class OwnsTables(RecordsPositions):
    """A module with tables of positions of its own, or with none."""

    tables: PositionTables | None = None

    def add_tables(self, tables: PositionTables | None, num_heads: int, head_dims: int) -> None:
        """Register the parameters, at zero."""
        self.tables = tables
        for name, shape in ({} if tables is None else tables.shapes(num_heads, head_dims)).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def reset_parameters(self) -> None:
        """Start the tables at zero."""
        for table in self.parameters(recurse=False):
            nn.init.zeros_(table)

    def own_position(self, grid: tuple[int, int], prefix: int) -> AttentionPosition:
        """What the tables give for h*w patches after `prefix` other tokens."""
        return AttentionPosition() if self.tables is None else self.tables.position(self, grid, prefix)

    def table_grids(self) -> dict[str, tuple[int, int]]:
        """See `RecordsPositions`."""
        return {} if self.tables is None else self.tables.grids()
