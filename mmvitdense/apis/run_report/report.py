"""The report of a run as one HTML file, with its pictures as PNG files beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmvitdense.visualization.page import page, table
from mmvitdense.whole_files import write_text_whole, written_whole

from ..errors import InputError
from ..files import check_output_file, check_output_folder, check_score_thr
from .collecting import Collected
from .detection_part import detection_parts
from .evaluating import chosen_checkpoint, evaluated, evaluated_results
from .parts import Parts, number
from .pixel_part import panoptic_part, pixel_parts
from .run_files import RunFiles, read_run
from .training_part import comparison_part, curve_parts, heading, metric_parts, plan_part
from .worst_part import worst_part


def report_run(
    work_dir: str,
    out: str | None = None,
    compare: Sequence[str] = (),
    checkpoint: str = 'best',
    results: str | None = None,
    config: str | None = None,
    score_thr: float = 0.3,
) -> Path:
    """Write the report of a training.

    Args:
        work_dir: The work dir of the training.
        out: The HTML file; by default `report.html` in the work dir. Plots are PNG files in a folder of its name.
        compare: Work dirs of other trainings.
        checkpoint: What is evaluated: 'best' by the metric of the config, or the newest where no best one was saved;
            'last'; 'none'; or a path.
        results: Predictions of `evaluate_model(out=...)` in the place of a checkpoint.
        config: In the place of the config in the work dir.
        score_thr: From this score on detections are drawn, and counted in the confusion and the score of an image.

    Returns:
        The path of the page.

    Raises:
        InputError, DataError, CheckpointError: something given cannot be used.
    """
    check_score_thr(score_thr)
    path = Path(out or Path(work_dir) / 'report.html')
    if path.suffix not in ('.html', '.htm'):
        raise InputError(f'--out {path}: expected a file name that ends with .html.')
    runs = [read_run(folder) for folder in (work_dir, *compare)]
    check_output_file(path, '--out')
    folder = path.with_suffix('')
    check_output_folder(folder, '--out')
    if results is not None:
        collected, source = evaluated_results(runs[0], config, results), results
    else:
        source = chosen_checkpoint(runs[0], checkpoint)
        collected = evaluated(runs[0], config, source, str(folder)) if source else None
    parts = _parts(runs, collected, source, score_thr)
    for name, content in parts.pngs.items():
        with written_whole(folder / f'{name}.png') as temporary:
            temporary.write_bytes(content)
    write_text_whole(str(path), page(f'{runs[0].name}: report', parts.html))
    return path


def _parts(runs: Sequence[RunFiles], collected: Collected | None, source: str | None, score_thr: float) -> Parts:
    parts = Parts([heading(runs[0])])
    if len(runs) > 1:
        comparison_part(parts, runs)
    plan_part(parts, runs[0])
    curve_parts(parts, runs[0])
    metric_parts(parts, runs[0])
    if collected is None:
        parts.add('<h2>Evaluation</h2><p>No checkpoint was evaluated.</p>')
        return parts
    rows = [
        ('metric', 'value'),
        *((name, number(math.nan if value == -1 else value)) for name, value in collected.metrics.items()),
    ]
    parts.add('<h2>Evaluation</h2>', f'<p>{escape(str(source))}</p>', table(rows))
    if collected.panoptic:
        panoptic_part(parts, collected)
    if collected.pixels is not None:
        pixel_parts(parts, collected)
    if collected.found and collected.truth is not None:
        detection_parts(parts, collected, score_thr)
    elif collected.found:
        parts.add(
            '<p>Details of classes are shown for COCO and data of mmdet with boxes in each image, not for LVIS.</p>'
        )
    worst_part(parts, collected, score_thr)
    return parts
