"""Options and fields that training adapts to the machine it runs on."""

import pytest
import torch
from mmengine.device import get_device

from mmvitdense.apis.checkpoint import read_run_checkpoint
from mmvitdense.apis.errors import run_tool
from mmvitdense.apis.replay import replay_batch
from mmvitdense.apis.train import train_model
from mmvitdense.checkpoints import CheckpointError

from .workshop import SEGMENTOR, TINY_SEGMENTOR, schedule

SYNC_BN = {'model.decode_head.norm_cfg': {'type': 'SyncBN'}, 'model.auxiliary_head.norm_cfg': {'type': 'MMSyncBN'}}


@pytest.fixture(scope='module')
def run(workshop):
    """A run with synchronised norms, mixed precision, a scaled learning rate and no seed: the runner and its log."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop.folder)
        options = {**TINY_SEGMENTOR, **SYNC_BN, **schedule(2, 2)}
        options |= {'randomness.seed': None, 'auto_scale_lr.base_batch_size': 16, 'optim_wrapper.optimizer.lr': 0.001}
        options |= {'param_scheduler': None, 'optim_wrapper.accumulative_counts': 2}
        runner = train_model(SEGMENTOR, amp=True, auto_scale_lr=True, cfg_options=options, work_dir='options')
    (log,) = (workshop / 'options').glob('*/*.log')
    return runner, log.read_text()


def test_sync_bn_turns_into_bn_and_the_log_says_so(run):
    runner, log = run
    kinds = {type(module) for module in runner.model.modules() if 'BatchNorm' in type(module).__name__}
    assert kinds == {torch.nn.BatchNorm2d}
    assert log.count('SyncBN turned into BN in 2 place(s)') == 1


@pytest.mark.skipif(get_device() != 'cpu', reason='this machine has a GPU')
def test_mixed_precision_runs_on_a_cpu(run):
    runner, log = run
    assert type(runner.optim_wrapper).__name__ == 'CpuAmpOptimWrapper'
    assert 'bfloat16 autocast on the CPU' in log


def test_the_learning_rate_follows_the_images_of_a_step(run):
    """Two batches of 4 make a step, and the base learning rate is meant for 16."""
    runner, _ = run
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(0.001 * 4 * 2 / 16)]


def test_a_run_without_a_seed_gets_one_that_its_checkpoint_keeps(run, workshop):
    runner, _ = run
    assert isinstance(runner.seed, int)
    checkpoint = read_run_checkpoint(workshop / 'options/iter_2.pth')
    assert checkpoint['meta']['seed'] == runner.seed == runner.train_dataloader.sampler.seed


def test_a_run_that_diverges_ends_with_its_batch(workshop, monkeypatch, capfd):
    """The weights are finite after a step at a rate of 1e12, and what they give is not."""
    monkeypatch.chdir(workshop.folder)
    options = {**TINY_SEGMENTOR, **schedule(9, 1), 'param_scheduler': None}
    options |= {'optim_wrapper.optimizer.lr': 1e12, 'optim_wrapper.clip_grad': None}
    assert run_tool(lambda: train_model(SEGMENTOR, work_dir='diverged', cfg_options=options)) == 3
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
    assert 'iter_1.pth. Lower the learning rate' in line
    assert sorted(path.name for path in (workshop / 'diverged').glob('*.pth')) == ['bad_batch_iter_2.pth', 'iter_1.pth']
    model, batch, source = replay_batch(workshop / 'diverged' / SEGMENTOR.name, 'diverged/bad_batch_iter_2.pth')
    assert line.startswith(f'error: Iteration 2: numbers that are not finite came up in {source.place} [loss nan')
    for sample in batch['data_samples']:
        assert sample.img_path in line
    before = read_run_checkpoint('diverged/iter_1.pth')['state_dict']
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(CheckpointError, match='not a bad_batch'):
        replay_batch(SEGMENTOR, 'diverged/iter_1.pth')
