"""What is built and tried before a run leaves the run as it would have been, and says what a person reads."""

import warnings

import pytest
import torch
from mmengine.logging import MessageHub

from mmvitdense.apis.build import build_runner
from mmvitdense.apis.config import load_config
from mmvitdense.apis.train import train_model
from mmvitdense.engine.random_state import random_state

from ..integration.workshop import SEGMENTOR, TINY_SEGMENTOR, schedule


@pytest.fixture
def options(shapes_root):
    paths = {f'{split}_dataloader.dataset.data_root': str(shapes_root) for split in ('train', 'val', 'test')}
    alone = {
        f'{split}_dataloader.{name}': value
        for split in ('train', 'val')
        for name, value in (('num_workers', 0), ('persistent_workers', False))
    }
    return {**TINY_SEGMENTOR, **schedule(2, 2), **paths, **alone}


def test_a_first_batch_leaves_no_trace(options, tmp_path):
    """Weights, running statistics, generators, and what models write to mmengine's hub."""
    found = []
    for tried in (False, True):
        cfg = load_config(SEGMENTOR, options)
        cfg.model.decode_head.norm_cfg = {'type': 'BN'}
        cfg.work_dir = str(tmp_path / str(tried))
        runner = build_runner(cfg, tried=tried)
        state = random_state()
        found.append((runner.model.state_dict(), state['cpu'], state['python'], state['numpy'], runner.message_hub))
        assert MessageHub.get_current_instance() is runner.message_hub
        assert not runner.message_hub.log_scalars
    (weights, *drawn, _), (weights_tried, *drawn_tried, _) = found
    torch.testing.assert_close(weights_tried, weights, rtol=0, atol=0)
    assert torch.equal(drawn[0], drawn_tried[0])
    assert drawn[1:] == drawn_tried[1:]


def test_the_terminal_has_the_plan_and_progress_and_the_file_all(options, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        train_model(SEGMENTOR, work_dir=str(tmp_path / 'run'), cfg_options=options)
    said = capsys.readouterr()
    plan = said.out[said.out.index('INFO - Training') :].split(' - mmengine - ')[0].splitlines()
    assert len(plan) <= 24
    for words in (
        '2 iterations, validation every 2',
        '6 images of 6 classes',
        '4 images x 1 process(es) x 1 accumulated = 4',
    ):
        assert any(words in line for line in plan), words
    assert 'Iter(train) [2/2]' in said.out
    assert 'mIoU' in said.out
    assert said.err == ''
    (log,) = (tmp_path / 'run').glob('*/*.log')
    content = log.read_text()
    for chatter in ('System environment', 'Hooks will be executed', 'num_heads=2', 'avg_non_ignore'):
        assert chatter in content
        assert chatter not in said.out
    assert 'INFO - Training' in content
