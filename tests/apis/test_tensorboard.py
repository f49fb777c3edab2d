"""`--tensorboard`."""

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.tensorboard import add_tensorboard


def test_it_is_refused_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InputError, match='pip install tensorboard'):
        add_tensorboard(Config({}))


@pytest.mark.parametrize('given', [None, [], [dict(type='LocalVisBackend')], [dict(type='TensorboardVisBackend')]])
def test_it_stands_beside_what_is_written_already(given, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: object())
    cfg = Config(dict(default_scope='mmseg'))
    if given is not None:
        cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=given)
    add_tensorboard(cfg)
    add_tensorboard(cfg)
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    expected = ['LocalVisBackend', 'TensorboardVisBackend']
    assert kinds == (expected[1:] if given == [dict(type=expected[1])] else expected)
    assert cfg.visualizer.type == 'SegLocalVisualizer'


def test_events_are_written(tmp_path):
    pytest.importorskip('tensorboard', reason='tensorboard is not installed')
    cfg = Config({})
    add_tensorboard(cfg)
    visualizer = Visualizer(vis_backends=list(cfg.visualizer.vis_backends), save_dir=str(tmp_path))
    visualizer.add_scalars({'loss': 1.0}, step=3)
    visualizer.close()
    assert list(tmp_path.glob('vis_data/events.out.tfevents.*'))
