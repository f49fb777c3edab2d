"""What a check finds: rows, written to a file one by one, so that nothing is lost when the process ends."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

PASSED, FAILED, SKIPPED, MEASURED = 'passed', 'failed', 'skipped', 'measured'
_ENDS = 'MMVITDENSE_CHECK_ENDS'
POISONED = 75
"""Exit code of a process whose CUDA context has met an error, after which every call fails: the next one goes on."""


class Failed(Exception):  # noqa: N818
    """Something that was checked does not hold; the message says what."""


class Skipped(Exception):  # noqa: N818
    """Something cannot be checked here; the message says why."""


class Report:
    """Rows of one check, appended to a file of JSON lines."""

    def __init__(self, check: str, path: Path):
        self.check = check
        self.path = path

    def add(self, status: str, item: str = '', detail: str = '', **figures: Any) -> None:
        """Append one row."""
        self._write({'check': self.check, 'item': item, 'status': status, 'detail': detail, **figures})

    def begin(self, item: str) -> None:
        """Note that an item begins; what is noted without a row after it has ended the process."""
        self._write({'check': self.check, 'begins': item})

    @contextmanager
    def guard(self, item: str = '') -> Iterator[dict[str, Any]]:
        """Run what is inside, and append the row of how it ended.

        Gives a dict for the fields of the row. After an error of CUDA the process ends.
        """
        self.begin(item)
        found: dict[str, Any] = {'status': PASSED}
        start = time.perf_counter()
        poisoned = False
        try:
            yield found
        except Skipped as skipped:
            found.update(status=SKIPPED, detail=str(skipped))
        except Failed as failed:
            found.update(status=FAILED, detail=str(failed))
        except Exception as error:
            found.update(status=FAILED, detail=describe(error), trace=traceback.format_exc()[-4000:])
            poisoned = cuda_is_broken()
        self._write({'check': self.check, 'item': item, **found, 'seconds': round(time.perf_counter() - start, 2)})
        if poisoned or found.get('leave'):
            raise SystemExit(POISONED)

    def _write(self, row: dict[str, Any]) -> None:
        with self.path.open('a') as file:
            file.write(json.dumps(row, default=str) + '\n')


def read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a file, and the items that began and never ended."""
    lines = [_parsed(line) for line in path.read_text(errors='replace').splitlines()] if path.exists() else []
    ended = {row['item'] for row in lines if 'item' in row}
    begun = [row['begins'] for row in lines if 'begins' in row]
    return [row for row in lines if 'item' in row], [item for item in begun if item not in ended]


def _parsed(line: str) -> dict[str, Any]:
    """Nothing where the process was ended while it wrote."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return {}


def seconds_left() -> float:
    """How long the process of a check may go on; a program that it runs ends before, so that its rows are kept."""
    return float(os.environ.get(_ENDS, 'inf')) - time.time()


def until(seconds: float) -> dict[str, str]:
    """The environment of a process that is ended after some seconds."""
    return {**os.environ, _ENDS: str(time.time() + seconds)}


def describe(error: BaseException) -> str:
    """One line: the kind, the message and the place of an error."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f' [{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}]' if frames else ''
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text[:300]}{place}'


def last_lines(text: str, count: int = 3) -> str:
    """The last lines of an output in one, each cut to its first part."""
    lines = [line.strip()[:300] for line in text.splitlines() if line.strip()]
    return ' / '.join(lines[-count:])


def cuda_is_broken() -> bool:
    """Whether an error has left the CUDA context of this process unusable."""
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
        return torch.ones(3, device='cuda').sum().item() != 3
    except RuntimeError:
        return True
