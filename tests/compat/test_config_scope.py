"""Configs of this package as bases of other people's configs."""

import mmengine
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, VISUALIZERS, DefaultScope

NAMES = ('quickstart/vitdet-tiny_mask-rcnn_shapes.py', 'quickstart/vit-tiny_upernet_shapes.py')


@pytest.mark.parametrize('name', NAMES)
def test_a_config_inherits_by_name(tmp_path, name):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = 'mmvitdense::{name}'\nrandomness = dict(seed=7)\n")
    cfg = Config.fromfile(path)
    assert cfg.randomness.seed == 7
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        assert VISUALIZERS.get(f'{cfg.default_scope}.{cfg.visualizer.type}') is not None
    assert type(model.backbone).__name__ == 'PlainViT'


def test_other_packages_keep_their_scope(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'\n")
    assert Config.fromfile(path).model.neck.scope == 'mmdet'


def test_unknown_names_stay_errors(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmvitdense::vitdet/no-such-config.py'\n")
    with pytest.raises(FileNotFoundError):
        mmengine.Config.fromfile(path)
