"""Runs checks in processes of their own, side by side where they may be, and tells how they ended."""

from __future__ import annotations

import contextlib
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
        share: (k, n): run the k-th of n shares of the items. Rows of the others stay in the folder.
    """

    def __init__(self, device: str, folder: Path, seconds: float, jobs: int, share: tuple[int, int] = (1, 1)):
        self.device = device
        self.folder = folder
        self.jobs = jobs
        self.share = share
        self.rows: list[dict[str, Any]] = []
        self.end = time.monotonic() + seconds
        self._lock = threading.RLock()  # `stop` may come in between
        self._count = 0
        self._processes: set[subprocess.Popen] = set()
        self._all = folder / _rows_file(share)
        folder.mkdir(parents=True, exist_ok=True)
        self._all.unlink(missing_ok=True)
        if share[0] == 1:  # the first begins anew
            shutil.rmtree(folder / 'twins', ignore_errors=True)
            for file in folder.glob('rows*.jsonl'):
                file.unlink()

    def run(self, names: Sequence[str], only: Sequence[str] = ()) -> None:
        """Run checks; `only` keeps those of their items that have one of these texts in their names."""
        items = self._items(names, only)
        for when in (FIRST, TOGETHER, ALONE):
            tasks = [
                task for name in names if CHECKS[name].when == when for task in tasks_of(name, items[name], self.jobs)
            ]
            with ThreadPoolExecutor(self.jobs if when == TOGETHER else 1) as pool:
                # Long ones first: one that begins late would be waited for.
                tasks.sort(key=lambda task: CHECKS[task.check].processes == 0)
                list(pool.map(self._through, tasks))

    def stop(self) -> None:
        """End what runs, and begin nothing more; what is known by then stays."""
        self.end = 0
        with self._lock:
            for process in self._processes:
                _kill(process)

    def _items(self, names: Sequence[str], only: Sequence[str]) -> dict[str, list[str]]:
        """What each check goes through in this share; a check that cannot say so takes no other with it."""
        found = {}
        for name in names:
            try:
                found[name] = chosen(items_of(CHECKS[name], self.device), only)
            except Exception as error:
                found[name] = []
                self._add([row_of(name, '', FAILED, f'its items are not known: {error}')])
        return shares_of(found, self.share[1])[self.share[0] - 1]

    def _through(self, task: Task) -> None:
        """Run a task; an error of this program in it ends no other."""
        try:
            self._run_through(task)
        except Exception as error:
            self._add([row_of(task.check, item, DIED, f'{type(error).__name__}: {error}') for item in task.items])

    def _run_through(self, task: Task) -> None:
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
            number = f'{self._count}' if self.share[1] == 1 else f'{self.share[0]}-{self._count}'
            path = self.folder / f'{task.check}-{number}.jsonl'
        path.unlink(missing_ok=True)
        command = [sys.executable, str(PROGRAM), '--part', task.check, '--device', self.device, '--out', str(path)]
        with path.with_suffix('.log').open('w') as log, path.with_suffix('.items').open('w') as items:
            items.write('\n'.join(task.items))
            items.flush()
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=until(seconds))
            with self._lock:
                self._processes.add(process)
            try:
                return path, process.wait(seconds)
            except subprocess.TimeoutExpired:
                return path, None
            finally:
                with self._lock:
                    self._processes.remove(process)
                _kill(process)
                process.wait()

    def _add(self, rows: list[dict[str, Any]]) -> None:
        with self._lock:
            self.rows += rows
            for row in rows:
                Report(row['check'], self._all).add(row['status'], **{k: v for k, v in row.items() if k not in _OWN})
                if row['status'] not in ('passed', 'measured', SKIPPED):
                    print(f'{row["status"]}: {row["check"]} {row["item"]}: {row.get("detail", "")[:300]}', flush=True)


_OWN = ('check', 'status')


def _kill(process: subprocess.Popen) -> None:
    """With all that it has started, which may outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _rows_file(share: tuple[int, int]) -> str:
    return 'rows.jsonl' if share[1] == 1 else f'rows-{share[0]}-of-{share[1]}.jsonl'


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """The rows of all shares that have been run."""
    return [row for file in sorted(folder.glob('rows*.jsonl')) for row in read(file)[0]]


def chosen(items: list[str], only: Sequence[str]) -> list[str]:
    """Those of several items that have one of these texts in their names."""
    return [item for item in items if any(text in item for text in only)] if only and len(items) > 1 else items


def shares_of(items: dict[str, list[str]], count: int) -> list[dict[str, list[str]]]:
    """The items of each check in shares that take about as long: long lists dealt out, others where time is left."""
    shares: list[dict[str, list[str]]] = [{name: [] for name in items} for _ in range(count)]
    seconds = [0.0] * count
    for name in sorted(items, key=lambda name: -CHECKS[name].seconds):
        for number, item in enumerate(items[name]):
            long = len(items[name]) > 8
            least = number % count if long else min(range(count), key=seconds.__getitem__)
            shares[least][name].append(item)
            seconds[least] += 0 if long else CHECKS[name].seconds / len(items[name])
    return shares


def tasks_of(name: str, items: list[str], jobs: int) -> list[Task]:
    """A check's items in as many parts as it may have processes; neighbours, which are alike, go to several."""
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
    without = sorted({row['without a deterministic form'] for row in rows if 'without a deterministic form' in row})
    return lines + [f'    without a deterministic form: {", ".join(without)}'] * bool(without)
