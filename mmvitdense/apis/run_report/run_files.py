"""What the work dir of a training holds: its plan, its logged numbers, its config and its checkpoints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError

_TIME = re.compile(r'\d{8}_\d{6}')
_PLAN = re.compile(r'INFO - Training\n((?:  .*\n)+)')
_ENVIRONMENT = re.compile(r'System environment:\n(.*?)\n\nRuntime environment', re.DOTALL)
_ENTRY = re.compile(r'    (\S[^:]*): +(.*)')
_LONG = ('PyTorch compiling details', 'MUSA available')
_LINE = re.compile(r'  (\S.*?)  +(\S.*)')
_NO_METRIC = ('time', 'data_time', 'step', 'iter', 'epoch')
Curve = tuple[list[float], list[float]]


@dataclass
class RunFiles:
    """A work dir.

    Attributes:
        folder: The work dir.
        training: {name: (iterations, values)} of what is logged while it trains.
        metrics: The same of validations.
        plan: (what, value) of the plan that the run printed.
        environment: (what, value) of the machine and the libraries.
        config: The config of the last training; None if there is none.
    """

    folder: Path
    training: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    plan: list[tuple[str, str]] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    config: Path | None = None

    @property
    def name(self) -> str:
        """Name of the work dir."""
        return self.folder.resolve().name

    @property
    def config_name(self) -> str | None:
        """Name of the config that was trained."""
        named = sorted(self.folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
        return named[-1].name if named else self.config and self.config.name

    def last_metrics(self) -> dict[str, float]:
        """The metrics of the last validation."""
        return {name: values[-1] for name, (_, values) in self.metrics.items()}

    def best_metrics(self) -> dict[str, float]:
        """The highest value of each metric."""
        return {
            name: max(known)
            for name, (_, values) in self.metrics.items()
            if (known := [value for value in values if not math.isnan(value)])
        }


def read_run(folder: str | Path) -> RunFiles:
    """Read a work dir; of one with several trainings the last, with those that it resumed.

    Raises:
        InputError: It is no folder, or no training of this program or of mmengine has written there.
    """
    run = RunFiles(Path(folder))
    if not run.folder.is_dir():
        raise InputError(f'{folder} is no folder: give the work dir of a training.')
    times = sorted(path for path in run.folder.iterdir() if path.is_dir() and _TIME.fullmatch(path.name))
    logs = [(path, _records(path)) for path in times]
    logs = [(path, records) for path, records in logs if any('loss' in record for record in records)]
    if not logs:
        raise InputError(
            f'{folder} is not the work dir of a training: it holds no TIME/vis_data/scalars.json with losses. Give the '
            'folder that `mmvitdense train` named, or wait until the training has logged for the first time; one that '
            'has ended was shorter than default_hooks.logger.interval.'
        )
    kept: list[tuple[float, dict[str, Any]]] = []
    for _, records in logs:
        placed = list(_placed(records))
        # A run that was resumed, or begun anew, replaces what was beyond its beginning.
        first = next((place for place, record in placed if 'loss' in record), math.inf)
        kept = [*((place, record) for place, record in kept if place < first), *placed]
    for place, record in kept:
        trained = 'loss' in record
        for name, value in record.items():
            if name not in (('step', 'iter', 'epoch') if trained else _NO_METRIC) and _is_number(value):
                places, values = (run.training if trained else run.metrics).setdefault(name, ([], []))
                places.append(place)
                # COCO writes -1 where there is nothing to score.
                values.append(math.nan if value == -1 and not trained else float(value))
    last = logs[-1][0]
    config = last / 'vis_data' / 'config.py'
    run.config = config if config.is_file() else next(iter(sorted(run.folder.glob('*.py'))), None)
    _read_log(run, last / f'{last.name}.log')
    return run


def best_checkpoint(run: RunFiles) -> Path | None:
    """The checkpoint that was best by the metric of the config (`save_best`), the newest if there are several."""
    found = [path for path in run.folder.glob('best_*.pth') if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _records(folder: Path) -> list[dict[str, Any]]:
    names = (folder / 'vis_data' / 'scalars.json', folder / 'vis_data' / f'{folder.name}.json')
    path = next((path for path in names if path.is_file()), None)
    records = []
    for line in path.read_text(encoding='utf-8').splitlines() if path else ():
        try:
            record = json.loads(line)
        except ValueError:  # the run was killed while it wrote
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _placed(records: Sequence[dict[str, Any]]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each record with its iteration.

    The `step` of a validation is an iteration or, with `log_metric_by_epoch`, an epoch: then it lies before the line of
    the training above it, and that one counts.
    """
    place = 0.0
    for record in records:
        step = record.get('step', record.get('iter'))
        if 'loss' in record:
            place = float(step if _is_number(step) else place)
        yield max(place, float(step)) if _is_number(step) else place, record


def _plan(text: str) -> list[tuple[str, str]]:
    """The lines of a plan; what is too long for a terminal goes on below itself, further in."""
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            lines.append((found[1], found[2]))
        elif lines:
            lines[-1] = (lines[-1][0], f'{lines[-1][1]} {line.strip()}')
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read_log(run: RunFiles, path: Path) -> None:
    if not path.is_file():
        return
    text = path.read_text(encoding='utf-8', errors='replace')
    if found := _PLAN.search(text):
        run.plan = _plan(found[1])
    if found := _ENVIRONMENT.search(text):
        lines = (_ENTRY.fullmatch(line) for line in found[1].splitlines())
        run.environment = [(line[1], line[2]) for line in lines if line and line[1] not in _LONG]
