"""A folder in which a tool is given something bad, and the form in which that is written down.

Each bad input is data, a `BadInput`; `test_bad_inputs.py` runs all of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from mmvitdense.apis.build import build_model
from mmvitdense.apis.config import load_config
from mmvitdense.datasets.shapes import write_shapes

from ..integration.workshop import DETECTOR, REPOSITORY, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR

TOOLS = REPOSITORY / 'tools'
SIZE = 64
"""Height and width of the images, which are images/training/000000.png, ... and images/validation/000000.png, ..."""


class Place:
    """The folder that a bad input is prepared in, and from which its tool is run.

    It holds `data/shapes` (6 training and 3 validation images of 64 x 64, see `tools/make_shapes.py`), the configs
    `detector.py` (Mask R-CNN) and `segmentor.py` (UPerNet), which are small, stand alone and read that data, and the
    weights `detector.pth` and `segmentor.pth` of their models.
    """

    INSTANCES = 'data/shapes/annotations/instances_training.json'
    VALIDATION = 'data/shapes/annotations/instances_validation.json'

    def __init__(self, folder: Path):
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str, change: Callable[[Any], Any]) -> None:
        """Change what a JSON file holds in place; what `change` returns, if anything, is written instead."""
        content = json.loads((self / name).read_text())
        changed = change(content)
        (self / name).write_text(json.dumps(content if changed is None else changed))

    def write(self, name: str, content: str | bytes = '') -> Path:
        """Write a file, and the folders above it."""
        path = self / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


class BadInput(NamedTuple):
    """Something that a tool refuses in one line.

    Attributes:
        name: What is bad, unique in the table.
        tool: Name of the tool in `tools/`, without `.py`.
        prepare: Makes what is bad in a `Place` and returns the arguments of the tool, which runs in that folder; or
            the arguments alone where nothing has to be made.
        line: Regular expression that is searched for in the one line on stderr, after `error: `.
        code: Exit code of the tool.
    """

    name: str
    tool: str
    prepare: Callable[[Place], Sequence[Any]] | Sequence[Any]
    line: str
    code: int = 2


def train(*options: str, config: str = 'detector.py') -> list[str]:
    """Arguments of a training with options of the config, `KEY=VALUE`."""
    return [config, '--work-dir', 'run', *(['--cfg-options', *options] if options else [])]


def evaluate(*options: str, config: str = 'detector.py', checkpoint: str = 'detector.pth') -> list[str]:
    """Arguments of an evaluation with options of the config, `KEY=VALUE`."""
    return [config, checkpoint, '--work-dir', 'run', *(['--cfg-options', *options] if options else [])]


def make_place(folder: Path) -> Place:
    """The folder that copies are made of."""
    write_shapes(folder / 'data' / 'shapes', 6, 3, image_size=SIZE, seed=0)
    for name, config, options in (('detector', DETECTOR, TINY_DETECTOR), ('segmentor', SEGMENTOR, TINY_SEGMENTOR)):
        cfg = load_config(config, {**options, 'train_dataloader.num_workers': 0})
        cfg.dump(folder / f'{name}.py')
        torch.manual_seed(0)
        torch.save({'state_dict': build_model(cfg).state_dict(), 'meta': {}}, folder / f'{name}.pth')
    return Place(folder)


def tree(folder: Path) -> dict[str, tuple]:
    """What lies in a folder: {name: size and time of change}, nothing of folders."""
    found = {}
    for root, folders, files in os.walk(folder):
        inside = os.path.relpath(root, folder)
        for name in (*folders, *files):
            path = os.path.join(root, name)
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                found[os.path.join(inside, name)] = status.st_size, status.st_mtime_ns
            if os.path.isdir(path):
                found[os.path.join(inside, name, '')] = ()
    return found


class Refusal(NamedTuple):
    """How a tool ended."""

    code: int | None
    stderr: str
    changed: set[str]


def run_in_process(bad: BadInput, pattern: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Prepare a bad input in a copy of `pattern` and run its tool in this process."""
    place, arguments = prepared(bad, pattern, folder)
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(sys, 'argv', [str(TOOLS / f'{bad.tool}.py'), *map(str, arguments)])
    before = tree(folder)
    stderr, on_terminate = io.StringIO(), signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path(str(TOOLS / f'{bad.tool}.py'), run_name='__main__')
            code = 0
        except SystemExit as exit_code:
            code = exit_code.code
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
    return Refusal(code, stderr.getvalue(), set(tree(folder).items() ^ before.items()))


def prepared(bad: BadInput, pattern: Path, folder: Path) -> tuple[Place, Sequence[Any]]:
    """A copy of `pattern` with a bad input in it, and the arguments of its tool."""
    shutil.copytree(pattern, folder, dirs_exist_ok=True, symlinks=True, copy_function=_copy)
    place = Place(folder)
    return place, bad.prepare(place) if callable(bad.prepare) else bad.prepare


def _copy(source: str, target: str) -> None:
    """Weights are most of a place, and what is made bad has other names: they are linked."""
    if source.endswith('.pth'):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def error_lines(stderr: str) -> list[str]:
    """The lines that tell of an error: what follows `error: `."""
    return [line.partition('error: ')[2] for line in stderr.splitlines() if 'error: ' in line]


def ids(table: Iterable[BadInput]) -> list[str]:
    """Names of bad inputs, as names of tests."""
    return [f'{bad.tool}-{bad.name}'.replace(' ', '_') for bad in table]
