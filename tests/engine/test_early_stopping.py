"""An early end counts on when a run is resumed."""

from types import SimpleNamespace

import pytest

from mmvitdense.engine import ResumableEarlyStoppingHook


def validated(hook, *scores):
    runner = SimpleNamespace(train_loop=SimpleNamespace(stop_training=False), logger=SimpleNamespace(info=print))
    for score in scores:
        hook.after_val_epoch(runner, {'mIoU': score})
    return runner.train_loop.stop_training


def make(monitor='mIoU'):
    return ResumableEarlyStoppingHook(monitor, min_delta=0.1, patience=3)


@pytest.mark.parametrize(
    ('resumes', 'monitor', 'stops'), [(True, 'mIoU', True), (False, 'mIoU', False), (True, 'mAcc', False)]
)
def test_patience_is_in_the_checkpoint(resumes, monitor, stops):
    first = make()
    assert not validated(first, 50.0, 50.05, 49.0)
    checkpoint = {'meta': {}}
    first.before_save_checkpoint(None, checkpoint)
    assert checkpoint['meta']['early_stopping'] == {'monitor': 'mIoU', 'best': 50.0, 'waited': 2}
    second = make(monitor)
    second.after_load_checkpoint(SimpleNamespace(_resume=resumes), checkpoint)
    second.monitor = 'mIoU'
    assert validated(second, 50.0) == stops
    assert validated(make(), 50.0, 50.2, 50.4, 50.6, 50.8) is False
