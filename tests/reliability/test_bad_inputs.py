"""Every bad input ends in one line and exit code 2, with nothing written and no traceback."""

import importlib
import re

import pytest
from mmengine.runner import Runner

from . import place
from .bad_inputs import BAD_INPUTS

TABLES = [BAD_INPUTS]
for name in ('bad_configs',):
    try:
        TABLES.append(importlib.import_module(f'{__package__}.{name}').BAD_CONFIGS)
    except ModuleNotFoundError:
        continue
ALL = [bad for table in TABLES for bad in table]


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
