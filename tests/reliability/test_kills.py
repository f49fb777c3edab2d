"""A run that was killed or stopped goes on to what an uninterrupted run gives; `tools/stress.py` does more of it."""

import signal
from functools import cache

import pytest

from tests.engine.tiny_runs import options, run

from .kill_at import KillAt
from .same_runs import assert_same, files, last_checkpoint

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
SETTINGS = {
    'iterations': {'workers': 2, 'accumulate': 4, 'ema': True, 'length': 8, 'save': 2, 'checkpoint': {}},
    'epochs': {'loop': 'epoch', 'length': 2, 'save': 1, 'checkpoint': {}},
}
BEST = {'max_keep_ckpts': 1, 'save_best': 'drawn', 'rule': 'greater'}
CASES = [
    # settings, moment, which time, signal, checkpoints in the work dir after it
    ('iterations', 'half', 1, KILL, []),
    ('iterations', 'half', 3, KILL, ['iter_2.pth']),
    ('iterations', 'noted', 3, KILL, ['iter_2.pth', 'iter_4.pth']),
    ('iterations', 'validation', 15, KILL, ['iter_4.pth']),
    ('iterations', 'iteration', 4, TERM, ['iter_4.pth']),
    ('iterations', 'validation', 15, INT, ['iter_4.pth']),
    ('epochs', 'iteration', 3, INT, ['iter_3.pth']),
]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    """The last checkpoint of an uninterrupted run, by the name of its settings."""

    @cache
    def _uninterrupted(name):
        folder = tmp_path_factory.mktemp(name)
        assert run(options(folder, **settings(name))) == [0]
        return last_checkpoint(folder), files(folder)

    return _uninterrupted


def settings(name):
    return {**SETTINGS[name], 'checkpoint': BEST}


@pytest.mark.parametrize(('name', 'moment', 'count', 'number', 'left'), CASES)
def test_continuation(tmp_path, uninterrupted, name, moment, count, number, left):
    hook = KillAt(moment, count, number)
    codes = run(options(tmp_path, **settings(name), hooks=(hook,)))
    assert codes == [-number if number == KILL else 128 + number]
    assert [name for name in files(tmp_path) if name[0] not in '.b'] == left
    assert run(options(tmp_path, **settings(name), resume=True)) == [0]
    expected, names = uninterrupted(name)
    assert_same(last_checkpoint(tmp_path), expected)
    assert files(tmp_path) == names
