"""Runs checks in processes of their own, side by side where they may be, and tells how they ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from .checks import ALONE, CHECKS, FIRST, TOGETHER, items_of
from .rows import FAILED, POISONED, SKIPPED, Report, read, until

PROGRAM = Path(__file__).resolve().parents[1] / 'check_gpu.py'
DIED = 'died'
NOT_RUN = 'not run'
_SLOWER = {'cuda': 1, 'cpu': 4}


class Task(NamedTuple):
    """Some items of a check, for one process at a time."""

    check: str
    items: list[str]


class Runner:
    """Runs tasks until a time is over.

    Args:
        device: 'cuda', or 'cpu' to try the checks themselves.
        folder: Where rows and logs go; `rows.jsonl` has all rows.
        seconds: How long all may take together.
        jobs: How many processes at a time.
    """

    def __init__(self, device: str, folder: Path, seconds: float, jobs: int):
        self.device = device
        self.folder = folder
        self.jobs = jobs
        self.rows: list[dict[str, Any]] = []
        self.end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._count = 0
        self._all = folder / 'rows.jsonl'
        folder.mkdir(parents=True, exist_ok=True)
        self._all.unlink(missing_ok=True)
        shutil.rmtree(folder / 'twins', ignore_errors=True)

    def run(self, names: Sequence[str], only: Sequence[str] = ()) -> None:
        """Run checks; `only` keeps those of their items that have one of these texts in their names."""
        for when in (FIRST, TOGETHER, ALONE):
            tasks = [
                task
                for name in names
                if CHECKS[name].when == when
                for task in tasks_of(name, self.device, only, self.jobs)
            ]
            with ThreadPoolExecutor(self.jobs if when == TOGETHER else 1) as pool:
                # Long ones first: one that begins late would be waited for.
                tasks.sort(key=lambda task: CHECKS[task.check].processes == 0)
                list(pool.map(self._through, tasks))

    def _through(self, task: Task) -> None:
        """Run a task; where its process dies, go on behind the item that it was at."""
        left = list(task.items)
        while left:
            seconds = min(CHECKS[task.check].seconds * _SLOWER[self.device], self.end - time.monotonic())
            if seconds < 1:
                self._add([row_of(task.check, item, NOT_RUN, 'no time was left') for item in left])
                return
            path, code = self._process(Task(task.check, left), seconds)
            rows, unfinished = read(path)
            text = '' if code in (0, POISONED) else last_words(path.with_suffix('.log'))
            ending = f'no end within {seconds:.0f} s' if code is None else f'exit code {code}'
            if unfinished:
                rows += [row_of(task.check, item, DIED, f'{ending}: {text[-300:]}', log=text) for item in unfinished]
            elif code not in (0, POISONED):
                rows.append(row_of(task.check, left[0], DIED, f'{ending}: {text[-300:]}', log=text))
            self._add(rows)
            ended = {row['item'] for row in rows}
            going_on = code != 0 and any(item in ended for item in left)
            left = [item for item in left if item not in ended] if going_on else []

    def _process(self, task: Task, seconds: float) -> tuple[Path, int | None]:
        with self._lock:
            self._count += 1
            path = self.folder / f'{task.check}-{self._count}.jsonl'
        path.unlink(missing_ok=True)
        command = [sys.executable, str(PROGRAM), '--part', task.check, '--device', self.device, '--out', str(path)]
        with path.with_suffix('.log').open('w') as log, path.with_suffix('.items').open('w') as items:
            items.write('\n'.join(task.items))
            items.flush()
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=until(seconds))
            try:
                return path, process.wait(seconds)
            except subprocess.TimeoutExpired:
                return path, None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def _add(self, rows: list[dict[str, Any]]) -> None:
        with self._lock:
            self.rows += rows
            for row in rows:
                Report(row['check'], self._all).add(row['status'], **{k: v for k, v in row.items() if k not in _OWN})
                if row['status'] not in ('passed', 'measured', SKIPPED):
                    print(f'{row["status"]}: {row["check"]} {row["item"]}: {row.get("detail", "")[:300]}', flush=True)


_OWN = ('check', 'status')


def tasks_of(name: str, device: str, only: Sequence[str], jobs: int) -> list[Task]:
    """A check's items in as many parts as it may have processes; neighbours, which are alike, go to several."""
    items = items_of(CHECKS[name], device)
    if only and len(items) > 1:
        items = [item for item in items if any(text in item for text in only)]
    count = CHECKS[name].processes or jobs
    return [Task(name, items[start::count]) for start in range(min(count, len(items)))]


def row_of(check: str, item: str, status: str, detail: str, **more: Any) -> dict[str, Any]:
    return {'check': check, 'item': item, 'status': status, 'detail': detail, **more}


def last_words(log: Path) -> str:
    return ' '.join(log.read_text(errors='replace').split())[-1500:] if log.exists() else ''


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines: for each check how many items ended how and the first failures; then what was measured."""
    lines = []
    for name, check in CHECKS.items():
        own = [row for row in rows if row['check'] == name]
        if not own:
            continue
        counts = {
            status: sum(row['status'] == status for row in own) for status in dict.fromkeys(r['status'] for r in own)
        }
        seconds = sum(row.get('seconds', 0) for row in own)
        lines.append(f'{name:14} {", ".join(f"{n} {s}" for s, n in counts.items())} ({seconds:.0f} s): {check.subject}')
        bad = [row for row in own if row['status'] in (FAILED, DIED, NOT_RUN)]
        lines += [f'    {row["status"]} {row["item"]}: {row.get("detail", "")[:220]}' for row in bad[:8]]
        if len(bad) > 8:
            lines.append(f'    and {len(bad) - 8} more')
        good = [row for row in own if row['status'] not in (FAILED, DIED, NOT_RUN) and row.get('detail')]
        if check.processes:
            lines += [f'    {row["item"]} {row["detail"]}'.rstrip()[:240] for row in good[:120]]
    return lines + worst_of_families(rows)


def worst_of_families(rows: list[dict[str, Any]]) -> list[str]:
    """For each type the largest distances among the configs, and whose they are."""
    lines = []
    for dtype in ('float32', 'bfloat16', 'float16'):
        own = [row for row in rows if row['check'] == 'families' and isinstance(row.get(dtype), dict)]
        for kind in ('maps', 'gradients', 'losses'):
            figures = {row['item']: row[dtype][kind] for row in own if kind in row[dtype]}
            if figures:
                worst = max(figures, key=figures.get)
                median = sorted(figures.values())[len(figures) // 2]
                lines.append(f'    {dtype:8} {kind:9} worst {figures[worst]:.1e} ({worst}), median {median:.1e}')
    return lines
