"""What the data doctor found, as a screen of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from mmvitdense.datasets.doctor import Found, SplitCounts, totals
from mmvitdense.datasets.doctor.summary import LARGE, SMALL

_WIDTH = 110
_MOST_CLASSES = 40
_TASKS = {'detection': 'boxes', 'instance': 'instances', 'semantic': 'semantic maps', 'panoptic': 'panoptic segments'}


def as_text(found: Found) -> str:
    """Format, splits, classes, what is wrong and what was taken for granted."""
    counts = totals(found)
    also = f' (there too: {", ".join(found.others)}; --task or --format takes them)' if found.others else ''
    parts = [
        f'{found.root}\n{found.format}: {", ".join(_TASKS[task] for task in found.tasks)} of '
        f'{len(found.classes)} classes{also}',
        grid(split_rows(found, counts)),
        grid(class_rows(found, counts)[: _MOST_CLASSES + 1]),
    ]
    if len(found.classes) > _MOST_CLASSES:
        parts.append(f'... and {len(found.classes) - _MOST_CLASSES} classes more')
    if found.notes:
        parts.append('Taken for granted\n' + _items(found.notes))
    problems = list(found.problems)
    for title, chosen in (
        ('To be mended first', [problem.text for problem in problems if problem.serious]),
        ('Suspicious', [problem.text for problem in problems if not problem.serious]),
    ):
        if chosen:
            parts.append(f'{title}\n{_items(chosen)}')
    if not problems:
        parts.append('Nothing wrong was found.')
    return '\n\n'.join(part for part in parts if part)


def split_rows(found: Found, counts: Sequence[SplitCounts]) -> list[list[str]]:
    """A row a split, below a head."""
    maps = found.table is not None
    head = ['split', 'images', 'without labels' if maps else 'without objects']
    head += ['classes/image', 'no class'] if maps else ['objects', 'masks', 'per image', 'small/medium/large']
    rows = [[*head, 'width x height, median (least to most)']]
    for part in counts:
        mean = f'{part.per_image.mean():.1f}' if len(part.per_image) else '-'
        row = [part.name, str(part.images), str(part.empty)]
        row += [mean, f'{part.unlabelled:.1%}'] if maps else [str(part.objects), str(part.masks), mean, _sizes(part)]
        rows.append([*row, _sides(part.sizes)])
    return rows


def class_rows(found: Found, counts: Sequence[SplitCounts]) -> list[list[str]]:
    """A row a class, below a head: objects, or maps and share of the pixels, in each split."""
    maps = found.table is not None
    head = ['', 'class', *(f'{part.name} {"maps" if maps else "objects"}' for part in counts)]
    head += [f'{part.name} pixels' for part in counts] if maps else []
    rows = [head]
    for number, name in enumerate(found.classes):
        row = [str(number), name, *(str(part.per_class[number]) for part in counts)]
        row += [f'{part.pixels[number]:.2%}' for part in counts] if maps else []
        rows.append(row)
    return rows


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, numbers to the right."""
    if len(rows) < 2:
        return ''
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [
        all(row[column][:1].isdigit() or row[column] == '-' for row in rows[1:]) for column in range(len(widths))
    ]
    return '\n'.join(
        '  '.join(
            cell.rjust(width) if number else cell.ljust(width) for cell, width, number in zip(row, widths, numeric)
        ).rstrip()
        for row in rows
    )


def _items(texts: Sequence[str]) -> str:
    return '\n'.join(
        textwrap.fill(
            text, _WIDTH, initial_indent='- ', subsequent_indent='  ', break_long_words=False, break_on_hyphens=False
        )
        for text in texts
    )


def _sizes(part: SplitCounts) -> str:
    if not len(part.areas):
        return '-'
    small, large = np.mean(part.areas < SMALL), np.mean(part.areas >= LARGE)
    return f'{small:.0%}/{1 - small - large:.0%}/{large:.0%}'


def _sides(sizes: np.ndarray) -> str:
    if not len(sizes):
        return '-'
    (width, height), low, high = np.median(sizes, 0), sizes.min(0), sizes.max(0)
    text = f'{width:.0f} x {height:.0f}'
    same = (low == high).all()
    return text if same else f'{text} ({low[0]:.0f} x {low[1]:.0f} to {high[0]:.0f} x {high[1]:.0f})'
