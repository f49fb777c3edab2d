"""Data of one's own: from a folder to an evaluated model with pictures in three commands and no edited file."""

import json
from pathlib import Path

import pytest

from mmvitdense import commands
from mmvitdense.apis.test import evaluate_model
from mmvitdense.apis.train import train_model
from tests.datasets.doctor import makers

from .workshop import _TINY_VIT, TINY_DETECTOR, TINY_SEGMENTOR, schedule

SMALL = {'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0, 'test_dataloader.num_workers': 0}
SMALL |= {f'{name.partition(".")[0]}.persistent_workers': False for name in SMALL}
BOXES = {**TINY_DETECTOR, **SMALL, **schedule(2, 2)}
MAPS = {**_TINY_VIT, **TINY_SEGMENTOR, **SMALL, **schedule(2, 2)}


def test_voc_by_the_tools(workshop, capsys):
    makers.write_voc(workshop / 'voc')
    done = workshop.run('data.py', 'voc', '--convert', 'voc_coco', '--write-config', 'voc.py', '--model', 'vitdet-tiny')
    assert 'Pascal VOC: boxes of 3 classes' in done.stdout
    workshop.run('train.py', 'voc.py', options=BOXES)
    checkpoint = 'work_dirs/voc/iter_2.pth'
    workshop.run('test.py', 'voc.py', checkpoint, '--show-dir', 'seen', '--json', 'voc.json', options=BOXES)
    metrics = json.loads((workshop / 'voc.json').read_text())
    assert 'coco/bbox_mAP' in str(metrics)
    assert len([path for path in (workshop / 'work_dirs').rglob('*') if path.suffix in ('.png', '.jpg')]) >= 2 or list(
        (workshop / 'seen').rglob('*.*')
    )


@pytest.mark.parametrize(
    ('write', 'model', 'options', 'metric'),
    [
        (lambda root: makers.write_yolo(root, polygons=True), 'vitdet-tiny', BOXES, 'coco/segm_mAP'),
        (makers.write_masks, 'vit-tiny', MAPS, 'mIoU'),
    ],
    ids=['yolo', 'masks'],
)
def test_others_in_this_process(write, model, options, metric, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'source')
    before = sorted((path, path.stat().st_mtime_ns) for path in Path('source').rglob('*'))
    assert commands.main(['data', 'source', '--convert', 'out', '--write-config', 'mine.py', '--model', model]) == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in Path('source').rglob('*')) == before
    runner = train_model('mine.py', work_dir='run', cfg_options=options)
    assert runner.iter == 2
    metrics = evaluate_model('mine.py', 'run/iter_2.pth', work_dir='run', cfg_options=options, show_dir='seen')
    assert any(name.endswith(metric) for name in metrics)
    assert len(list(Path('run').rglob('*.png')) + list(Path('seen').rglob('*.*'))) >= 2
