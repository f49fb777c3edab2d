"""Configs that are written for data of one's own: every head of boxes on every trunk, in a step of training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

from mmvitdense.apis.build import build_model
from mmvitdense.apis.config import load_config
from mmvitdense.apis.own_data import config_text
from mmvitdense.apis.own_data.recipes import find_recipe
from mmvitdense.datasets.doctor import Layout

ROOT = Path(__file__).parents[2]
SPLITS = {
    split: {'ann_file': f'{split}.json', 'img': f'{split}/', 'seg': f'{split}_maps/'} for split in ('train', 'val')
}


def layout(task, **changes):
    things = 2 if task == 'panoptic' else None
    return Layout('mine', task, ['a', 'b', 'c'], SPLITS, {'train': 300, 'val': 60}, things, sides=(480, 640), **changes)


def written(tmp_path, model, task):
    text, _ = config_text(layout(task), find_recipe(model, task))
    path = tmp_path / 'mine.py'
    path.write_text(text)
    return load_config(str(path)), text


@pytest.mark.parametrize(
    ('model', 'kind'),
    [
        ('vitdet-b-dinov3', 'FasterRCNN'),
        ('vitdet-b-clip_cascade-rcnn', 'FasterRCNN'),
        ('vitdet-b-sam_dino', 'DINO'),
        ('vit-adapter-s-deit_retinanet', 'RetinaNet'),
        ('vit-adapter-s-dinov2_cascade-rcnn', 'FasterRCNN'),
        ('vit-comer-s-deit_dino', 'DINO'),
        ('vit-hook-s-deit_atss', 'ATSS'),
        ('mimdet-b-mae_atss', 'SizeAwareATSS'),
        ('mimdet-b-mae_faster-rcnn', 'SizeAwareMaskRCNN'),
        ('lift-s-dinov3_retinanet', 'RetinaNet'),
        ('vit-fpn-b-mae_dino', 'DINO'),
    ],
)
def test_boxes_on_every_trunk(model, kind, tmp_path):
    cfg, text = written(tmp_path, model, 'detection')
    with torch.device('meta'):
        built = build_model(cfg)
    assert type(built).__name__ == kind
    assert not hasattr(built, 'roi_head') or not built.roi_head.with_mask
    assert "'with_mask': True" not in str([cfg[f'{split}_dataloader'] for split in ('train', 'val', 'test')])
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == 'bbox'
    assert len(text.splitlines()) <= 60


@pytest.mark.parametrize(
    ('model', 'task', 'base'),
    [
        ('vitdet-b-dinov3', 'instance', 'vitdet/vitdet-b-dinov3_mask-rcnn'),
        ('vit-adapter-l-deit', 'instance', None),
        ('vit-b-dinov2', 'semantic', 'vit/vit-b-dinov2_upernet'),
        ('vitdet-b-dinov3', 'semantic', 'vit/vit-b-dinov3_upernet'),
        ('vitdet-b-dinov3', 'panoptic', 'pmt/pmt-b-dinov3_panoptic'),
        ('eomt-l-dinov2', 'semantic', 'eomt/eomt-l-dinov2_semantic'),
        ('vit-adapter-s-deit_cascade', 'instance', 'vit_adapter/vit-adapter-s-deit_cascade-mask-rcnn'),
    ],
)
def test_other_tasks(model, task, base, tmp_path):
    if base is None:
        with pytest.raises(Exception, match='did you mean'):
            find_recipe(model, task)
        return
    cfg, text = written(tmp_path, model, task)
    assert f"'mmvitdense::{base}" in text
    counts = {
        int(part.partition(':')[2].strip(' }),]'))
        for part in str(cfg.model.to_dict()).split(',')
        if "'num_classes'" in part
    }
    # An RPN of its own has one.
    assert counts <= {3, 1}, counts
    assert 3 in counts or task == 'panoptic'


@pytest.mark.parametrize('head', ['retinanet', 'atss', 'dino'])
def test_overlays_are_the_heads_of_vitdet(head):
    models = ROOT / 'configs/_base_/models'
    overlay = Config.fromfile(models / f'boxes_{head}.py')[head].to_dict()
    whole = Config.fromfile(models / f'{head}_vitdet.py').model.to_dict()
    assert overlay == {
        key: value for key, value in whole.items() if key not in ('backbone', 'neck', 'data_preprocessor', '_scope_')
    }


@pytest.mark.parametrize(('model', 'task', 'sides', 'chosen'), [
    ('vitdet-b-dinov3', 'instance', (200, 300), 384),
    ('vitdet-b-dinov3', 'instance', (600, 800), None),
    ('vit-b-mae', 'semantic', (180, 240), 256),
    ('vit-adapter-s-deit', 'instance', (200, 300), None),
])  # fmt: skip
def test_sizes_of_small_images(model, task, sides, chosen, tmp_path):
    found = layout(task)
    found.sides = sides
    text, notes = config_text(found, find_recipe(model, task))
    if chosen is None:
        assert 'pipeline' not in text
        return
    path = tmp_path / 'mine.py'
    path.write_text(text)
    cfg = load_config(str(path))
    assert any(f'works at {chosen} pixels' in note for note in notes)
    assert cfg.model.backbone.img_size == chosen
    pipelines = str([cfg[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val')])
    assert f'({chosen}, {chosen})' in pipelines
    assert '1024' not in pipelines or task == 'semantic'
    if task == 'semantic':
        assert cfg.model.data_preprocessor['size'] == (chosen, chosen)
    else:
        assert cfg.model.data_preprocessor.pad_size_divisor == chosen
    with torch.device('meta'):
        build_model(cfg)
