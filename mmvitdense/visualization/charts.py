"""Histograms as SVG, which a page holds without any other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

_COLOURS = ('#3b6ea5', '#d98a29', '#5a9a4b')
_BAR, _GAP, _LABELS, _PLOT = 16, 4, 170, 420
_HEIGHT, _WIDTH, _MARGIN = 150, 420, 42
_MOST_ROWS = 30


def bars(labels: Sequence[str], series: dict[str, Sequence[float]], unit: str = '') -> str:
    """A bar a label and series, the longest as wide as the plot.

    Args:
        labels: Names.
        series: {name of a series: a number for each label}.
        unit: What follows the numbers, such as '%'.
    """
    labels = list(labels)[:_MOST_ROWS]
    longest = max([value for values in series.values() for value in values] or [0]) or 1
    step = _BAR * len(series) + _GAP
    parts = []
    for row, label in enumerate(labels):
        top = row * step
        parts.append(_text(_LABELS - 6, top + step / 2, _short(label), 'end'))
        for place, values in enumerate(series.values()):
            width = _PLOT * values[row] / longest
            y = top + place * _BAR
            parts.append(_bar(_LABELS, y, width, _BAR - 2, _COLOURS[place % 3]))
            parts.append(_text(_LABELS + width + 4, y + _BAR / 2, f'{values[row]:,.4g}{unit}'))
    return _svg(_LABELS + _PLOT + 80, len(labels) * step, parts) + _key(series)


def histogram(series: dict[str, np.ndarray], title: str, bins: int = 20, logarithmic: bool = False) -> str:
    """How often values occur, one colour a series; shares of each, so that splits of other sizes can be compared.

    Args:
        series: {name: values}.
        title: What the values are, with their unit.
        bins: How many bars.
        logarithmic: Bars of equal ratio in the place of equal width.
    """
    series = {name: np.asarray(values, float) for name, values in series.items() if len(values)}
    if not series:
        return ''
    together = np.concatenate(list(series.values()))
    low, high = float(together.min()), float(together.max())
    if low == high:
        return f'<p>{escape(title)}: {low:,.4g} everywhere</p>'
    if logarithmic and high > 0:
        edges = np.geomspace(max(low, 1.0), max(high, 2.0), bins + 1)
    elif (together == together.round()).all() and high - low < bins:
        edges = np.arange(low, high + 2)
    else:
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    counts = {name: np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for name, values in series.items()}
    shares = {name: count / max(count.sum(), 1) for name, count in counts.items()}
    top = max(share.max() for share in shares.values()) or 1
    width = _WIDTH / (len(edges) - 1)
    parts = []
    for place, share in enumerate(shares.values()):
        for index, value in enumerate(share):
            height = _HEIGHT * value / top
            left = _MARGIN + index * width + place * width / len(shares)
            parts.append(_bar(left, _HEIGHT - height + 10, width / len(shares) - 1, height, _COLOURS[place % 3]))
    for index in range(0, len(edges), max(1, len(edges) // 6)):
        parts.append(_text(_MARGIN + index * width, _HEIGHT + 24, f'{edges[index]:.4g}', 'middle'))
    parts.append(_text(_MARGIN + _WIDTH / 2, _HEIGHT + 42, title, 'middle'))
    parts.append(_text(_MARGIN - 4, 16, f'{top:.0%}', 'end'))
    return _svg(_WIDTH + 2 * _MARGIN, _HEIGHT + 52, parts) + _key(series)


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = 'start') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="middle">{escape(text)}</text>'


def _key(series: dict) -> str:
    if len(series) < 2:
        return ''
    entries = (
        f'<span><i style="background:{_COLOURS[place % 3]}"></i>{escape(name)}</span>'
        for place, name in enumerate(series)
    )
    return f'<p class="key">{"".join(entries)}</p>'


def _short(text: str) -> str:
    return text if len(text) <= 24 else f'{text[:22]}…'
