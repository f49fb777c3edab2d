"""What is asked for when weights are fitted to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .name_patterns import matches_any

Grid = tuple[int, int]


@dataclass(frozen=True)
class FitOptions:
    """How weights are fitted, and what may be missing.

    Attributes:
        patch_resize: 'pinv', 'pinv_antialias' or 'bilinear', see `resize_patch_embedding`.
        channels: How a patch embedding is fitted to another number of channels, see `fit_channels`; None refuses it.
        as_initialized: Patterns of names of the model (see `name_patterns`) that stay as they are initialised.
        unused: Patterns of names of the converted weights that the model is meant to ignore.
        pos_grid: (rows, columns) of the tables of positions, where the user gives it.
        recorded: {name of a table: (rows, columns)} that the file records.
        oblong: Whether the file may hold tables that are not square and not record it, as of this project.
        prefix: What the names of this part of the model have lost.
    """

    patch_resize: str = 'pinv'
    channels: str | tuple[int, ...] | None = None
    as_initialized: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    pos_grid: Grid | None = None
    recorded: Mapping[str, Grid] = field(default_factory=dict)
    oblong: bool = False
    prefix: str = ''

    def stays(self, name: str) -> bool:
        """Whether this weight of the model stays as it is initialised."""
        return matches_any(f'{self.prefix}{name}', self.as_initialized)

    def is_unused(self, name: str) -> bool:
        """Whether this weight of the file is meant to be ignored."""
        return matches_any(f'{self.prefix}{name}', self.unused)

    def within(self, part: str, prefix: str | None = None) -> FitOptions:
        """The same for the weights of the file whose names begin with `part`, which is taken off.

        `prefix` is what the names of the model have lost besides, by default `part` as well.
        """
        recorded = {name.removeprefix(part): grid for name, grid in self.recorded.items() if name.startswith(part)}
        return replace(self, recorded=recorded, prefix=f'{self.prefix}{part if prefix is None else prefix}')
