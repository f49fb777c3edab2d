"""A checkpoint of detectron2 from its file to the detections of a test."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from pycocotools import mask as coco

from mmvitdense.apis.test import evaluate_model
from mmvitdense.checkpoints import convert
from mmvitdense.datasets.shape_scenes import CLASSES
from tests.fidelity.test_vitdet_heads import HIDDEN, draw_weights

from .workshop import REPOSITORY

GOLDEN = Path(__file__).parents[1] / 'golden' / 'vitdet_window.npz'
SIDE, CHANNELS = 160, 32  # of the ViT and the pyramid in the golden file


def official_weights(cascade):
    """Backbone and pyramid of the golden file, and random heads, under the names of a whole detector."""
    with np.load(GOLDEN) as file:
        weights = {f'backbone.{name[3:]}': file[name] for name in file.files if name.startswith('sd/')}
    heads = draw_weights(cascade, width=CHANNELS, num_classes=len(CLASSES))
    return weights | {name: tensor.numpy() for name, tensor in heads.items()}


def small_config(kind):
    config = Config.fromfile(REPOSITORY / 'configs' / 'vitdet' / f'vitdet-b-mae_{kind}_lsj-100e_coco.py')
    shapes = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'datasets' / 'shapes_detection.py')
    for name in ('test_dataloader', 'test_evaluator', 'val_dataloader', 'val_evaluator'):
        config[name] = shapes[name]
    config.test_dataloader.dataset.pipeline[1].scale = (SIDE, SIDE)
    model = config.model
    model.data_preprocessor.pad_size_divisor = SIDE
    model.backbone.pop('arch')
    model.backbone.pop('init_cfg')
    model.backbone.update(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=192, global_blocks=(1, 3))
    model.backbone.update(img_size=SIDE, pretrain_img_size=112, window_size=5)
    model.neck.update(in_channels=48, out_channels=CHANNELS)
    model.rpn_head.update(in_channels=CHANNELS, feat_channels=CHANNELS)
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.out_channels = CHANNELS
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.update(in_channels=CHANNELS, conv_out_channels=CHANNELS, num_classes=len(CLASSES))
    model.roi_head.bbox_head.fc_out_channels = HIDDEN
    model.test_cfg.rpn.update(nms_pre=50, max_per_img=50)
    model.test_cfg.rcnn.max_per_img = 10
    return config


@pytest.mark.parametrize('kind', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_detections_of_a_converted_checkpoint(workshop, kind, monkeypatch):
    official = official_weights(cascade=kind.startswith('cascade'))
    source, converted, out = workshop / f'{kind}.pkl', workshop / f'{kind}.pth', workshop / f'{kind}-found.pkl'
    source.write_bytes(pickle.dumps({'model': official, '__author__': 'a test'}))
    config = small_config(kind)
    config.dump(workshop / f'{kind}.py')
    done = workshop.run('convert.py', source, converted)
    assert 'detectron2 ViTDet' in done.stdout
    monkeypatch.chdir(workshop.folder)
    evaluate_model(workshop / f'{kind}.py', converted, work_dir=str(workshop / kind), out=str(out))
    found = pickle.loads(out.read_bytes())

    config.test_dataloader.dataset.data_root = str(workshop / 'data' / 'shapes')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model, dataset = MODELS.build(config.model).eval(), DATASETS.build(config.test_dataloader.dataset)
    model.load_state_dict(convert({name: torch.from_numpy(array) for name, array in official.items()}))
    assert len(found) == len(dataset) == 5
    for prediction, sample in zip(found, dataset):
        with torch.no_grad():
            (wanted,) = model.test_step(pseudo_collate([sample]))
        got, wanted = prediction['pred_instances'], wanted.pred_instances
        assert len(wanted) == 10
        assert got['labels'].tolist() == wanted.labels.tolist()
        torch.testing.assert_close(got['scores'], wanted.scores, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(got['bboxes'], wanted.bboxes, rtol=1e-3, atol=1e-2)
        masks = torch.from_numpy(np.stack([coco.decode(mask) for mask in got['masks']])).bool()
        assert (masks != wanted.masks).float().mean() < 1e-3
