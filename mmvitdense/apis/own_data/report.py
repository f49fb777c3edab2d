"""One HTML file with what the data doctor found: tables, histograms, drawn samples. It needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from mmvitdense.datasets.doctor import Found, SplitCounts, totals
from mmvitdense.visualization.charts import bars, histogram
from mmvitdense.visualization.page import page, pictures, scrolled, side_by_side, table
from mmvitdense.whole_files import write_text_whole

from .samples import drawn_samples, notable_samples
from .table import class_rows, split_rows

_SAMPLES = 12


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
        f'<h2>Splits</h2>{table(split_rows(found, counts))}',
        f'<h2>Classes</h2>{scrolled(table(class_rows(found, counts), texts=(1,)))}',
        _class_chart(found, counts),
        f'<h2>Distributions</h2>{side_by_side(_charts(found, counts))}',
        pictures('Samples', [(name, picture) for name, picture in drawn_samples(found, _SAMPLES)]),
        pictures('Worth a look', [(f'{why}: {name}', picture) for why, name, picture in notable_samples(found)]),
    ]
    return page(found.root, parts)


def _problems(found: Found) -> str:
    rows = [
        f'<li class="{"wrong" if problem.serious else "odd"}">{escape(problem.text)}</li>' for problem in found.problems
    ]
    rows += [f'<li>{escape(note)}</li>' for note in found.notes]
    wrong = sum(problem.serious for problem in found.problems)
    title = f'{wrong} to be mended first' if wrong else 'Nothing has to be mended'
    return f'<h2>{title}</h2>' + (f'<ul>{"".join(rows)}</ul>' if rows else '')


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
    return charts
