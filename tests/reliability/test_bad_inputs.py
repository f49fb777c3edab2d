"""Every bad input ends in one line and exit code 2, with nothing written and no traceback."""

import os
import re

import pytest
from mmengine.runner import Runner

from tests.warm_python import run_fresh

from . import place
from .bad_configs import BAD_CONFIGS
from .bad_fields import BAD_FIELDS
from .bad_inputs import BAD_INPUTS

ALL = [*BAD_INPUTS, *BAD_CONFIGS, *BAD_FIELDS]


@pytest.fixture(scope='session')
def pattern(tmp_path_factory):
    return place.make_place(tmp_path_factory.mktemp('pattern')).folder


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch):
    """What is not refused must not take minutes."""

    def started(runner, *_):
        raise AssertionError('the run was started')

    for name in ('train', 'test'):
        monkeypatch.setattr(Runner, name, started)


@pytest.mark.parametrize('bad', ALL, ids=place.ids(ALL))
def test_one_line_and_nothing_written(bad, pattern, tmp_path, monkeypatch):
    refusal = place.run_in_process(bad, pattern, tmp_path / 'place', monkeypatch)
    lines = place.error_lines(refusal.stderr)
    assert (refusal.code, len(lines)) == (bad.code, 1), refusal.stderr[-3000:]
    assert re.search(bad.line, lines[0]), lines[0]
    assert refusal.stderr.splitlines()[-1].endswith(lines[0]), 'the error is the last line'
    assert 'Traceback' not in refusal.stderr
    assert not refusal.changed


def test_names_are_unique_and_there_are_enough():
    names = place.ids(ALL)
    assert len(set(names)) == len(names)
    assert len(names) >= 150


def _by_names(names):
    found = dict(zip(place.ids(ALL), ALL, strict=True))
    return [found[name] for name in names]


REAL = [
    'train-no-config',
    'test-checkpoint-absent',
    'image_demo-image-absent',
    'convert-checkpoint-code',
    'train-mask-rle-huge',
    'train-mask-1e9',
    'train-file-name-absolute',
    'train-image-cut',
    'train-annotations-cut',
    'train-initial-absent-Pretrained',
    'train-checkpoint-unreachable',
    'test-mask-nan',
    'test---json-not-writable',
    'image_demo-folder-of-broken',
    'browse_dataset---output-dir-is-a-file',
    'print_config-no-config',
    'make_shapes-shapes-objects',
]
IN_CI = 3
"""How many of these are run each time; the rest with MMVITDENSE_WHOLE_CENSUS=1."""


@pytest.mark.parametrize('number', range(len(REAL)), ids=REAL)
def test_by_the_command_line(number, pattern, tmp_path, tools_python):
    """The first in an interpreter that imports for itself."""
    if number >= IN_CI and not os.environ.get('MMVITDENSE_WHOLE_CENSUS'):
        pytest.skip('set MMVITDENSE_WHOLE_CENSUS=1 to run all')
    (bad,) = _by_names(REAL[number : number + 1])
    where, arguments = place.prepared(bad, pattern, tmp_path / 'place')
    before = place.tree(where.folder)
    command, variables = [place.TOOLS / f'{bad.tool}.py', *arguments], {'PYTHONDONTWRITEBYTECODE': '1'}
    if number == 0:
        done = run_fresh(command, where.folder, variables)
    else:
        done = tools_python.run(command, where.folder, variables)
    lines = done.stderr.splitlines()
    assert done.returncode == bad.code, done.stderr[-3000:]
    assert re.search(bad.line, lines[-1].partition('error: ')[2]), done.stderr
    assert 'Traceback' not in done.stderr
    assert place.tree(where.folder) == before
