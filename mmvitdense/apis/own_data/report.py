"""One HTML file with what the data doctor found: tables, histograms, drawn samples. It needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from mmvitdense.datasets.doctor import Found, SplitCounts, totals
from mmvitdense.whole_files import write_text_whole

from .charts import bars, histogram
from .samples import drawn_samples, notable_samples
from .table import class_rows, split_rows

_SAMPLES = 12
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 24px } h2 { font-size: 18px; margin-top: 32px; border-bottom: 1px solid #ccc }
table { border-collapse: collapse } th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #eee }
th { background: #f3f3f3 } td.text, th.text { text-align: left }
li { margin: 4px 0; overflow-wrap: anywhere } li.wrong { color: #a01818 }
svg text { font-size: 12px; fill: #333 } .charts { display: flex; flex-wrap: wrap; gap: 24px }
.key span { margin-right: 16px; font-size: 13px }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: 5px }
.pictures { display: flex; flex-wrap: wrap; gap: 12px } figure { margin: 0; max-width: 520px }
figure img { max-width: 100% } figcaption { font-size: 12px; color: #555; overflow-wrap: anywhere }
.scroll { max-height: 480px; overflow: auto }
"""


def write_report(found: Found, path: str) -> None:
    """Write the report; the file is whole or as it was."""
    write_text_whole(path, report_as_html(found))


def report_as_html(found: Found) -> str:
    """The report as a page."""
    counts = totals(found)
    parts = [
        f'<h1>{escape(found.root)}</h1>',
        f'<p>{escape(found.format)}, {len(found.classes)} classes: {", ".join(found.tasks)}.</p>',
        _problems(found),
        f'<h2>Splits</h2>{_table(split_rows(found, counts), texts=(0,))}',
        f'<h2>Classes</h2><div class="scroll">{_table(class_rows(found, counts), texts=(1,))}</div>',
        _class_chart(found, counts),
        f'<h2>Distributions</h2><div class="charts">{"".join(_charts(found, counts))}</div>',
        _pictures('Samples', [(name, picture) for name, picture in drawn_samples(found, _SAMPLES)]),
        _pictures('Worth a look', [(f'{why}: {name}', picture) for why, name, picture in notable_samples(found)]),
    ]
    head = f'<meta charset="utf-8"><title>{escape(found.root)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _problems(found: Found) -> str:
    rows = [
        f'<li class="{"wrong" if problem.serious else "odd"}">{escape(problem.text)}</li>' for problem in found.problems
    ]
    rows += [f'<li>{escape(note)}</li>' for note in found.notes]
    wrong = sum(problem.serious for problem in found.problems)
    title = f'{wrong} to be mended first' if wrong else 'Nothing has to be mended'
    return f'<h2>{title}</h2>' + (f'<ul>{"".join(rows)}</ul>' if rows else '')


def _table(rows: Sequence[Sequence[str]], texts: Sequence[int]) -> str:
    def line(row: Sequence[str], tag: str) -> str:
        cells = (
            f'<{tag}{" class=text" if column in texts else ""}>{escape(cell)}</{tag}>'
            for column, cell in enumerate(row)
        )
        return f'<tr>{"".join(cells)}</tr>'

    return f'<table>{line(rows[0], "th")}{"".join(line(row, "td") for row in rows[1:])}</table>'


def _class_chart(found: Found, counts: Sequence[SplitCounts]) -> str:
    if not found.classes:
        return ''
    order = np.argsort(-sum(part.per_class for part in counts), kind='stable')
    labels = [found.classes[number] for number in order]
    series = {part.name: part.per_class[order].tolist() for part in counts}
    title = 'Maps with each class' if found.table is not None else 'Objects of each class'
    return f'<h2>{title}</h2>{bars(labels, series)}'


def _charts(found: Found, counts: Sequence[SplitCounts]) -> Sequence[str]:
    what = 'classes in a map' if found.table is not None else 'objects in an image'
    charts = [
        histogram({part.name: part.per_image for part in counts}, what),
        histogram({part.name: part.sizes[:, 0] for part in counts if len(part.sizes)}, 'width of the images, pixels'),
        histogram({part.name: part.sizes[:, 1] for part in counts if len(part.sizes)}, 'height of the images, pixels'),
    ]
    if found.table is None:
        sides = {part.name: np.sqrt(np.maximum(part.areas, 1)) for part in counts}
        charts.append(histogram(sides, 'side of the objects (square root of the area), pixels', logarithmic=True))
    return [f'<div>{chart}</div>' for chart in charts if chart]


def _pictures(title: str, pictures: Sequence[tuple[str, str]]) -> str:
    if not pictures:
        return ''
    figures = (
        f'<figure><img src="data:image/jpeg;base64,{content}" alt=""><figcaption>{escape(name)}</figcaption></figure>'
        for name, content in pictures
    )
    return f'<h2>{title}</h2><div class="pictures">{"".join(figures)}</div>'
