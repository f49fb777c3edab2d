"""What the data doctor found, as plain data for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from mmvitdense.datasets.doctor import Found, totals


def as_plain_data(found: Found) -> dict[str, Any]:
    """Format, classes, counts of each split, problems and notes."""
    return {
        'format': found.format,
        'root': found.root,
        'tasks': list(found.tasks),
        'classes': list(found.classes),
        'splits': [_numbers(asdict(counts)) for counts in totals(found)],
        'problems': [asdict(problem) for problem in found.problems],
        'notes': list(found.notes),
        'also': list(found.others),
    }


def _numbers(counts: dict[str, Any]) -> dict[str, Any]:
    """Without what has an entry an image or an object, of which the middle is said."""
    sizes, areas, per_image = (np.asarray(counts.pop(name)) for name in ('sizes', 'areas', 'per_image'))
    counts['median_size'] = np.median(sizes, 0).tolist() if len(sizes) else None
    counts['median_area'] = float(np.median(areas)) if len(areas) else None
    counts['mean_per_image'] = float(per_image.mean()) if len(per_image) else 0.0
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in counts.items()}
