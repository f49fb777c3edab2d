"""A part of a report: HTML, and the pictures in it that are files as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmvitdense.visualization.page import png


@dataclass
class Parts:
    """What a report is made of.

    Attributes:
        html: The parts of the page in their order.
        pngs: {name without suffix: bytes}.
    """

    html: list[str] = field(default_factory=list)
    pngs: dict[str, bytes] = field(default_factory=dict)

    def plot(self, name: str, content: bytes, width: int | None = None) -> str:
        """Keep a picture under a name; returns it as HTML, `width` pixels wide."""
        self.pngs[name] = content
        return png(content, width)

    def add(self, *html: str) -> None:
        """Put parts at the end."""
        self.html += html


def percent(value: float) -> str:
    """A share from 0 to 1 in percent; a dash for what has no value."""
    return '-' if value is None or math.isnan(value) else f'{100 * value:.1f}'


def number(value: float) -> str:
    """A number with four digits."""
    return '-' if math.isnan(value) else f'{value:.4g}'


def in_order(rows: Sequence[list[str]], values: Sequence[float]) -> list[list[str]]:
    """Rows from the lowest value on, those without a value at the end."""
    order = sorted(range(len(rows)), key=lambda place: (math.isnan(values[place]), values[place]))
    return [rows[place] for place in order]
