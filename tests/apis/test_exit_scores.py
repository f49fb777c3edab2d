"""The file of scores by depth, from the labels of a data set to the pipeline that reads it."""

import json
from pathlib import Path

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


def predictions(model, data):
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


@pytest.fixture
def parent(shapes_root):
    config = Config.fromfile(CONFIGS / 'eco_m2f/vitdet-tiny_eco-m2f-parent_shapes.py')
    config.model.backbone.update(num_layers=2, global_blocks=(1,))
    for name in ('train_dataloader', 'test_dataloader'):
        config[name].dataset.update(data_root=str(shapes_root), indices=3)
    pack = config.test_dataloader.dataset.pipeline[-1]
    pack.meta_keys = (*pack.meta_keys, 'seg_map_path', 'segments_info')
    return config


def test_round_trip(parent, tmp_path, monkeypatch):
    from mmvitdense.apis.build import build_model
    from mmvitdense.models.detection import EarlyExitMask2Former

    weights, out = tmp_path / 'parent.pth', tmp_path / 'scores.json'
    torch.save({'state_dict': build_model(parent).state_dict()}, weights)
    monkeypatch.setattr(EarlyExitMask2Former, 'predictions_by_depth', predictions)
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


def test_models_without_early_exit_are_refused(tmp_path):
    stock = CONFIGS / 'vitdet/vitdet-tiny_mask2former-panoptic_shapes.py'
    with pytest.raises(InputError, match='expected mmvitdense.EarlyExitMask2Former'):
        make_exit_scores(str(stock), tmp_path / 'none.pth', tmp_path / 'scores.json')
