"""Parts of a page of HTML that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 24px; overflow-wrap: anywhere } h2 { font-size: 18px; margin-top: 32px; border-bottom: 1px solid #ccc }
h3 { font-size: 15px; margin: 20px 0 8px }
table { border-collapse: collapse; margin-bottom: 12px }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #eee }
th { background: #f3f3f3 } td.text, th.text { text-align: left; overflow-wrap: anywhere }
td.text:first-child, th.text { overflow-wrap: normal }
li { margin: 4px 0; overflow-wrap: anywhere } li.wrong { color: #a01818 }
svg text { font-size: 12px; fill: #333 } .charts { display: flex; flex-wrap: wrap; gap: 24px }
.charts > * { max-width: 100% } .charts img { max-width: 100% }
.key span { margin-right: 16px; font-size: 13px }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: 5px }
.pictures { display: flex; flex-wrap: wrap; gap: 12px } figure { margin: 0; max-width: 520px }
.wide figure { max-width: 1068px } figure img { max-width: 100% }
figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere }
.scroll { max-height: 480px; overflow: auto; margin-bottom: 12px }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A page with this title and these parts, which are HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def table(rows: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A table of cells of text, the first row its head; columns of `texts` begin at the left."""

    def line(row: Sequence[str], tag: str) -> str:
        cells = (
            f'<{tag}{" class=text" if column in texts else ""}>{escape(cell)}</{tag}>'
            for column, cell in enumerate(row)
        )
        return f'<tr>{"".join(cells)}</tr>'

    return f'<table>{line(rows[0], "th")}{"".join(line(row, "td") for row in rows[1:])}</table>'


def scrolled(content: str) -> str:
    """A part that is scrolled where it is high."""
    return f'<div class="scroll">{content}</div>'


def side_by_side(parts: Iterable[str]) -> str:
    """Parts beside one another as far as there is room; empty ones are left out."""
    return f'<div class="charts">{"".join(f"<div>{part}</div>" for part in parts if part)}</div>'


def pictures(title: str, named: Sequence[tuple[str, str]], wide: bool = False) -> str:
    """Pictures with what is written below each.

    Args:
        title: The heading; nothing is there without pictures.
        named: (text, JPEG as text of base64).
        wide: One below the other, as wide as the page.
    """
    if not named:
        return ''
    figures = (
        f'<figure><img src="data:image/jpeg;base64,{content}" alt=""><figcaption>{escape(text)}</figcaption></figure>'
        for text, content in named
    )
    return f'<h2>{escape(title)}</h2><div class="pictures{" wide" if wide else ""}">{"".join(figures)}</div>'


def png(content: bytes, width: int | None = None) -> str:
    """A picture of PNG bytes, `width` pixels wide."""
    size = '' if width is None else f' width="{width}"'
    return f'<img{size} src="data:image/png;base64,{base64.b64encode(content).decode("ascii")}" alt="">'


def jpeg_text(picture: np.ndarray, height: int, width: int) -> str:
    """A BGR picture as text of base64, reduced to at most this height and width."""
    factor = min(1.0, height / max(picture.shape[0], 1), width / picture.shape[1])
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    content = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return base64.b64encode(content).decode('ascii')
