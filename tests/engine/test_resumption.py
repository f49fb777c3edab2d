"""A run that is killed and resumed is the uninterrupted run, bit for bit."""

import random

import pytest

from tests.reliability.same_runs import assert_same, last_checkpoint

from .tiny_runs import SIZE, options, run

REPEATED = {'type': 'mmvitdense.RepeatFactorSampler', 'threshold': 0.5}
CASES = {
    'iterations': {'workers': 2},
    'iterations, no workers': {},
    'iterations, finite sampler': {'workers': 2, 'sampler': {'type': 'DefaultSampler', 'shuffle': True}},
    'iterations, spawned and persistent workers': {'workers': 2, 'persistent': True, 'method': 'spawn'},
    'epochs': {'loop': 'epoch', 'workers': 2, 'length': 4, 'save': 1},
    'epochs, persistent workers': {'loop': 'epoch', 'workers': 2, 'persistent': True, 'length': 4, 'save': 1},
    'epochs, saved within them': {'loop': 'epoch', 'workers': 2, 'length': 3, 'save': 4, 'save_by_epoch': False},
    'accumulation': {'workers': 2, 'accumulate': 4},
    'accumulation over epochs': {'loop': 'epoch', 'length': 4, 'save': 1, 'accumulate': 4},
    'averaged weights': {'workers': 2, 'ema': True},
    'repeated images': {'workers': 2, 'sampler': REPEATED},
    'a seed drawn at random': {'workers': 2, 'seed': None},
}
QUICK = ('epochs', 'epochs, saved within them', 'accumulation', 'repeated images', 'a seed drawn at random')


def compare(folder, case, processes=1, kill_at=None):
    """Train twice, once with a kill; `kill_at` is drawn if it is not given."""
    settings = {'save': 3, **case}
    in_epoch = SIZE // 2 // processes if settings.get('loop') == 'epoch' else 1
    iterations = settings.get('length', 14) * in_epoch
    first = settings['save'] * (in_epoch if settings.get('save_by_epoch') is None else 1)
    kill_at = kill_at or random.randrange(first + 1, iterations)
    assert run(options(folder / 'whole', **settings), processes) == [0] * processes
    if settings.get('seed', 5) is None:
        settings['seed'] = last_checkpoint(folder / 'whole')['meta']['seed']
    codes = run(options(folder / 'killed', **settings, kill_at=kill_at), processes)
    assert set(codes) == {-9}
    settings['seed'] = case.get('seed', 5)
    assert run(options(folder / 'killed', **settings, resume=True), processes) == [0] * processes
    assert_same(last_checkpoint(folder / 'killed'), last_checkpoint(folder / 'whole'))


@pytest.mark.parametrize('name', QUICK)
def test_resumed(tmp_path, name):
    compare(tmp_path, CASES[name])


def test_two_processes_between_two_steps_of_the_optimizer(tmp_path):
    compare(tmp_path, {'workers': 1, 'accumulate': 4}, processes=2)


if __name__ == '__main__':
    # All cases, or those that are named, with one and two processes: python -m tests.engine.test_resumption [NAME ...]
    import sys
    import tempfile
    import time
    from pathlib import Path

    for case in sys.argv[1:] or CASES:
        for number in (1, 2):
            start = time.time()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    compare(Path(folder), CASES[case], number)
                    print(f'same: {case}, {number} process(es), {time.time() - start:.0f} s', flush=True)
                except AssertionError as error:
                    print(f'OTHER: {case}, {number} process(es): {str(error)[:300]}', flush=True)
