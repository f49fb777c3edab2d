"""Joining processes. That they train as one is shown in tests/integration."""

import pytest
from mmengine.config import Config
from mmengine.device import get_device

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.launch import on_main_process, start_process_group


def test_without_a_launcher_nothing_starts():
    cfg = Config({})
    start_process_group(cfg, 'none')
    assert cfg.launcher == 'none'
    assert 'model_wrapper_cfg' not in cfg


def test_torchrun_must_have_started_the_process(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(InputError, match='torchrun --nproc_per_node'):
        start_process_group(Config({}), 'pytorch')


@pytest.mark.skipif(get_device() != 'cpu', reason='this machine has a GPU')
def test_other_launchers_need_gpus():
    with pytest.raises(InputError, match='slurm needs GPUs'):
        start_process_group(Config({}), 'slurm')


def test_a_single_process_checks_for_itself():
    assert on_main_process(lambda: 3) == 3
    with pytest.raises(InputError, match='no'):
        on_main_process(_fail)


def _fail():
    raise InputError('no')
