"""The benchmarks of operators and of whole models, through their own programs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .hardware import median_seconds
from .rows import MEASURED, Report, last_lines, seconds_left

ROOT = Path(__file__).resolve().parents[2]


def operators(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """A row for each row of `benchmark_ops.py`."""
    options = ['--round-seconds', '0.1', '--repeats', '5'] if device == 'cuda' else ['--sizes', 'G', '--repeats', '1']
    for row in _rows('benchmark_ops.py', folder, device, options, report):
        item = ' '.join(str(row[name]) for name in ('size', 'dtype', 'op', 'pass', 'baseline'))
        detail = f'{row["ours_ms"]:.3f} ms, theirs {row["baseline_ms"]:.3f} ms, ratio {row["ratio"]:.2f}'
        report.add(MEASURED, item, detail, row=row)


def models(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """A row for each row of `benchmark_models.py`."""
    options = ['--sizes', '1024', '--dtype', 'float32', 'tf32', 'bfloat16']
    options += ['--subjects', 'vitdet-b', 'vit-comer-b', 'vit-adapter-b', 'vitdet-l']
    if device == 'cpu':
        options = ['--sizes', '64', '--subjects', 'attention-t-window', '--repeats', '1', '--no-memory']
    for row in _rows('benchmark_models.py', folder, device, options, report):
        item = ' '.join(str(row[name]) for name in ('subject', 'size', 'dtype', 'pass'))
        detail = f'{row["ours_ms"]:.1f} ms, {row["baseline"]} {row["baseline_ms"]:.1f} ms, ratio {row["ratio"]:.2f}'
        if row.get('peak_mb'):
            detail += f', peak {row["baseline_peak_mb"]:.0f} to {row["peak_mb"]:.0f} MB'
        report.add(MEASURED, item, detail, row=row)


def _rows(program: str, folder: Path, device: str, options: list[str], report: Report) -> list[dict[str, Any]]:
    """Run a program and give its rows: where it was stopped or failed those it had written, and a row that says so."""
    path, log = folder / 'rows.json', folder / 'log'
    command = [sys.executable, f'tools/{program}', '--device', device, '--json', str(path), *options]
    with log.open('w') as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait(max(seconds_left() - 5, 1))
        except subprocess.TimeoutExpired:
            process.kill()
            code = None
    rows = json.loads(path.read_text()) if path.exists() else []
    text = log.read_text(errors='replace')
    if code is None:
        report.add('not run', 'the rest', f'no time was left after {len(rows)} rows')
    elif code:
        report.add('failed', 'program', f'exit code {code}: {last_lines(text)}', log=text[-8000:])
    return rows


def memory_format(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """ViTDet with its pyramid, images and convolutions in channels-last order or not."""
    sys.path.insert(0, str(ROOT / 'tools'))
    from benchmarks.subjects import build

    name, size = ('vitdet-b', 1024) if device == 'cuda' else ('vitdet-t', 64)
    for training in (False, True):
        with report.guard('training' if training else 'forward') as row:
            model, images = (pair := build(name, size, 1, device, training)).model, pair.inputs[0]
            seconds = {}
            for kind in (torch.contiguous_format, torch.channels_last):
                model.to(memory_format=kind)
                given = images.to(memory_format=kind)
                seconds[kind] = median_seconds(functools.partial(_call, model, given, device, training), device)
            plain, last = (1000 * value for value in seconds.values())
            row.update(status=MEASURED, contiguous_ms=plain, channels_last_ms=last)
            row['detail'] = f'{name}, bfloat16: {plain:.1f} ms, channels last {last:.1f} ms'


def _call(model: torch.nn.Module, images: torch.Tensor, device: str, training: bool) -> None:
    with torch.set_grad_enabled(training), torch.autocast(device, torch.bfloat16):
        outputs = model(images)
    if training:
        sum(output.float().sum() for output in outputs).backward()
        model.zero_grad(set_to_none=True)
