"""Curves and matrices as PNG, by matplotlib, which mmengine brings."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

_COLOURS = (
    *('#3b6ea5', '#d98a29', '#5a9a4b', '#b5473c', '#7d5ba6', '#8c6d4f'),
    *('#c76ba3', '#6f6f6f', '#a5a136', '#3aa0a8', '#1c3d63', '#e3b778'),
)
MOST_LINES = len(_COLOURS)
Curve = tuple[Sequence[float], Sequence[float]]


def curves(
    series: dict[str, Curve],
    title: str,
    across: str,
    limits: tuple[float, float] | None = None,
    size: tuple[float, float] = (7.0, 3.6),
    logarithmic: bool = False,
) -> bytes:
    """Lines in one plot.

    Args:
        series: {name: (places along the plot, values)}; a line of one point is a dot. At most `MOST_LINES`.
        title: Above the plot.
        across: What the places are.
        limits: Lowest and highest value that is shown.
        size: In inches of 100 pixels.
        logarithmic: Equal steps for equal ratios, where all values are above zero.
    """
    figure, axes = _axes(size)
    for (name, (places, values)), colour in zip(series.items(), _COLOURS):
        values = np.asarray(values, float)
        axes.plot(places, values, label=name, color=colour, linewidth=1.6, marker='o' if len(values) < 3 else None)
    if logarithmic and all((np.asarray(values, float) > 0).all() for _, values in series.values()):
        axes.set_yscale('log')
    if limits:
        axes.set_ylim(*limits)
    axes.set_title(title, fontsize=11, loc='left')
    axes.set_xlabel(across, fontsize=9)
    axes.grid(True, color='#e4e4e4', linewidth=0.8)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    if len(series) == 1:
        axes.set_ylabel(next(iter(series)), fontsize=9)
    else:
        axes.legend(fontsize=8, frameon=False, ncols=1, loc='upper left', bbox_to_anchor=(1.0, 1.02))
    return _png(figure)


def matrix(
    shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str, across: str, down: str
) -> bytes:
    """Shares from 0 to 1 as a map of shades with numbers.

    Args:
        shares: R x C; NaN is left white.
        rows: R names.
        columns: C names.
        title: Above the map.
        across: What the columns are.
        down: What the rows are.
    """
    step = 0.42 if len(rows) <= 25 else 0.3
    figure, axes = _axes((2.6 + step * len(columns), 1.9 + step * len(rows)))
    axes.imshow(np.ma.masked_invalid(shares), cmap='Blues', vmin=0, vmax=1)
    axes.set_xticks(range(len(columns)), [_short(name) for name in columns], rotation=60, ha='right', fontsize=8)
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows], fontsize=8)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(down, fontsize=9)
    axes.set_title(title, fontsize=11, loc='left')
    for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.005)):
        share = shares[row, column]
        ink = 'white' if share > 0.55 else '#333333'
        axes.text(column, row, f'{100 * share:.0f}', ha='center', va='center', fontsize=7, color=ink)
    return _png(figure)


def _axes(size: tuple[float, float]):
    # Without pyplot, which keeps each figure and looks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure) -> bytes:
    # A dollar sign in a name is no formula.
    for text in figure.findobj(lambda part: hasattr(part, 'set_parse_math')):
        text.set_parse_math(False)
    content = io.BytesIO()
    figure.savefig(content, format='png')
    return content.getvalue()


def _short(text: str) -> str:
    return text if len(text) <= 20 else f'{text[:18]}…'
