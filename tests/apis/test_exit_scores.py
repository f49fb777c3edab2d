"""The file of scores by depth, from the labels of a data set to the pipeline that reads it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.exit_scores import make_exit_scores
from mmvitdense.datasets.transforms import LoadExitScores

pytest.importorskip('mmdet')
CONFIGS = Path(__file__).parents[2] / 'configs'
# Share of the objects that is found with 2, 3, ..., 6 layers.
FOUND = {2: 0.0, 3: 0.5, 4: 1.0, 5: 0.0, 6: 1.0}


def panoptic(model, data):
    """The labels themselves, of as many segments as `FOUND` says; the rest is void."""
    import mmcv
    from mmengine.structures import PixelData

    by_depth = {depth: [] for depth in FOUND}
    for sample in data['data_samples']:
        colours = mmcv.imread(sample.seg_map_path, channel_order='rgb').astype(np.int64)
        ids = colours @ np.array([1, 256, 65536])
        for depth, share in FOUND.items():
            result = np.full(ids.shape, 6)
            for number, segment in enumerate(sample.segments_info, start=1):
                if number <= share * len(sample.segments_info):
                    result[ids == segment['id']] = segment['category'] + 1000 * number
            own = sample.clone()
            own.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(result)[None])
            by_depth[depth].append(own)
    return by_depth


def semantic(model, data):
    """The labels themselves, of as many classes as `FOUND` says; the rest is none."""
    from mmengine.structures import PixelData

    by_depth = {depth: [] for depth in FOUND}
    for sample in data['data_samples']:
        labels = sample.gt_sem_seg.data
        classes = labels.unique()
        for depth, share in FOUND.items():
            found = torch.isin(labels, classes[: int(share * len(classes))])
            own = sample.clone()
            own.pred_sem_seg = PixelData(data=torch.where(found, labels, 99))
            by_depth[depth].append(own)
    return by_depth


@pytest.fixture
def parent(kind, shapes_root):
    name = {panoptic: 'parent', semantic: 'parent_semantic'}[kind]
    config = Config.fromfile(CONFIGS / f'eco_m2f/vitdet-tiny_eco-m2f-{name}_shapes.py')
    config.model.backbone.update(num_layers=2, global_blocks=(1,))
    for loader in ('train_dataloader', 'test_dataloader'):
        config[loader].dataset.update(data_root=str(shapes_root), indices=3)
    if kind is panoptic:
        pack = config.test_dataloader.dataset.pipeline[-1]
        pack.meta_keys = (*pack.meta_keys, 'seg_map_path', 'segments_info')
    return config


@pytest.mark.parametrize('kind', [panoptic, semantic])
def test_round_trip(kind, parent, tmp_path, monkeypatch):
    pytest.importorskip(parent.default_scope)
    from mmvitdense.apis.build import build_model

    weights, out = tmp_path / 'parent.pth', tmp_path / 'scores.json'
    model = build_model(parent)
    torch.save({'state_dict': model.state_dict()}, weights)
    monkeypatch.setattr(type(model), 'predictions_by_depth', kind)
    scores = make_exit_scores(parent, weights, out)
    assert json.loads(out.read_text()) == scores
    assert len(scores) == 3
    load = LoadExitScores(str(out))
    for name, qualities in scores.items():
        assert load({'img_path': f'elsewhere/{name}'})['exit_scores'] == qualities
        none, half, *whole = qualities
        assert whole == [1.0, 0.0, 1.0]
        assert none == 0.0
        assert 0 < half < 1
        if kind is semantic:
            there = len(np.unique(cv2.imread(str(next(parent_labels(parent, name))), cv2.IMREAD_UNCHANGED)))
            assert half == pytest.approx(there // 2 / there, abs=1e-6), 'the mean over the classes of the image'


def parent_labels(config, name):
    return Path(config.train_dataloader.dataset.data_root).glob(f'annotations/training/{Path(name).stem}.png')


@pytest.mark.parametrize('kind', [semantic])
def test_data_without_labels_is_refused(kind, parent, tmp_path):
    parent.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=parent.train_dataloader.dataset)
    with pytest.raises(InputError, match='neither data_prefix.seg nor data_prefix.seg_map_path'):
        make_exit_scores(parent, tmp_path / 'none.pth', tmp_path / 'scores.json')


def test_models_without_early_exit_are_refused(tmp_path):
    stock = CONFIGS / 'vitdet/vitdet-tiny_mask2former-panoptic_shapes.py'
    with pytest.raises(InputError, match='expected mmvitdense.EarlyExitMask2Former'):
        make_exit_scores(str(stock), tmp_path / 'none.pth', tmp_path / 'scores.json')
