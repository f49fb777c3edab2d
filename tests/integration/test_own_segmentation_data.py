"""The config of docs/config_by_hand.md for segmentation data of one's own, trained and evaluated in small."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmvitdense.apis.test import evaluate_model
from mmvitdense.apis.train import train_model
from tests.configs.shrink import shrink

PAGE = Path(__file__).parents[2] / 'docs' / 'config_by_hand.md'


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The config as the page prints it, beside data as the page describes it."""
    monkeypatch.chdir(tmp_path)
    for split in ('train', 'val'):
        for folder in ('images', 'maps'):
            (tmp_path / 'data/mine' / folder / split).mkdir(parents=True)
        for number in range(2):
            labels = np.random.default_rng(number).integers(0, 3, (4, 5)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
            cv2.imwrite(f'data/mine/maps/{split}/{number}.png', labels)
            cv2.imwrite(f'data/mine/images/{split}/{number}.jpg', 80 * labels)
    (text,) = (block for block in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S) if 'maps/train' in block)
    path = tmp_path / 'mine.py'
    path.write_text(text)
    return path


def small(config):
    """What the config says of the data, with a narrow model on small images for two iterations."""
    whole = Config.fromfile(config)
    cfg = shrink(whole, Path('unused'))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].dataset = {**whole[name].dataset, 'pipeline': cfg[name].dataset.pipeline}
        cfg[name].update(num_workers=0, persistent_workers=False)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    return cfg


def test_it_trains_and_is_evaluated(config):
    cfg = small(config)
    runner = train_model(cfg, work_dir='run')
    assert runner.iter == 2
    assert runner.train_dataloader.dataset.metainfo['classes'] == ('road', 'grass', 'sky')
    (loaded,) = {int(sample.gt_sem_seg.data.max()) for sample in [runner.train_dataloader.dataset[0]['data_samples']]}
    assert loaded == 2
    metrics = evaluate_model(cfg, 'run/iter_2.pth', work_dir='run', json_file='m.json')
    assert 0 <= metrics['mIoU'] <= 100
    assert '"IoU.grass"' in Path('m.json').read_text()
