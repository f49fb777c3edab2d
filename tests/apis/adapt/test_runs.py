"""`--plan` and `--auto`: what is printed, what is changed, and that trying leaves a run as it would have been."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

from mmvitdense.apis.adapt import precision
from mmvitdense.apis.adapt.trial import Measured
from mmvitdense.apis.checkpoint import read_run_checkpoint
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.train import train_model
from mmvitdense.engine.random_state import random_state

from ...integration.workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR


@pytest.fixture
def data(shapes_root):
    paths = {f'{split}_dataloader.dataset.data_root': str(shapes_root) for split in ('train', 'val', 'test')}
    workers = {f'{split}_dataloader.num_workers': 0 for split in ('train', 'val')}
    lasting = {f'{split}_dataloader.persistent_workers': False for split in ('train', 'val')}
    return {**paths, **workers, **lasting}


@pytest.fixture
def segmentor(data):
    """Six images; of a recipe for 8 images a step, in batches of 4."""
    options = {**TINY_SEGMENTOR, **data, 'model.decode_head.norm_cfg': {'type': 'BN'}}
    options |= {'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 2}
    options.pop('train_dataloader.batch_size')
    return options


@pytest.fixture
def recipe(tmp_path):
    """A recipe far too long for small data."""
    path = tmp_path / 'recipe.py'
    path.write_text(
        f"_base_ = '{SEGMENTOR}'\ntrain_cfg = dict(max_iters=160000)\nauto_scale_lr = dict(base_batch_size=16)\n"
        'train_dataloader = dict(batch_size=4)\n'
    )
    return path


def test_a_run_is_adapted_and_can_be_repeated_and_resumed(recipe, segmentor, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(precision, 'has_bfloat16', lambda device: True)
    options = {**segmentor, 'train_cfg.max_iters': 4}
    train_model(recipe, work_dir=str(tmp_path / 'run'), auto=True, cfg_options=options)
    said = capsys.readouterr().out
    cfg = Config.fromfile(tmp_path / 'run/recipe.py')
    # Six images are a step of two, in one batch; the length that was given stays, and the schedule follows it.
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.get('accumulative_counts', 1)) == (2, 1)
    assert cfg.train_cfg.max_iters == 4
    assert [schedule.end for schedule in cfg.param_scheduler] == [1, 4]
    assert cfg.optim_wrapper.type == 'mmvitdense.CpuAmpOptimWrapper'
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'
    assert list((tmp_path / 'run').glob('best_mIoU_iter_*.pth'))
    assert '2 images x 1 accumulated instead of 4 x 1, for 2 images a step.' in said
    assert 'bfloat16 instead of float32: the CPU has it.' in said
    # The dumped config without --auto gives the same weights, so trying steps has left no trace.
    train_model(tmp_path / 'run/recipe.py', work_dir=str(tmp_path / 'again'))
    one, two = (read_run_checkpoint(tmp_path / f'{name}/iter_4.pth')['state_dict'] for name in ('run', 'again'))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    # A resumed run keeps the plan, whatever fits now, and one without --auto is refused.
    monkeypatch.setattr('mmvitdense.apis.adapt.adapting.Trial', None)
    with pytest.raises(InputError, match='was adapted by --auto; give --auto too'):
        train_model(recipe, work_dir=str(tmp_path / 'run'), resume='auto', cfg_options=options)
    longer = {**options, 'train_cfg.max_iters': 6}
    with pytest.raises(InputError, match='max_iters=6: the run was planned for 4 by --auto'):
        train_model(recipe, work_dir=str(tmp_path / 'run'), resume='auto', auto=True, cfg_options=longer)
    runner = train_model(recipe, work_dir=str(tmp_path / 'run'), resume='auto', auto=True, cfg_options=options)
    assert (runner.iter, runner.train_dataloader.batch_size) == (4, 2)
    with pytest.raises(InputError, match='has no config of a run with --auto'):
        train_model(recipe, work_dir='none', resume=str(tmp_path / 'x/iter_1.pth'), auto=True, cfg_options=options)


def test_a_plan_writes_nothing_and_draws_nothing(recipe, segmentor, tmp_path, capsys):
    before, hubs = random_state(), set(MessageHub._instance_dict)
    given = {'train_dataloader.batch_size': 1, 'optim_wrapper.optimizer.lr': 0.01, 'optim_wrapper.type': 'OptimWrapper'}
    options = segmentor | {'model.decode_head.norm_cfg': {'type': 'GN', 'num_groups': 8}} | given
    assert train_model(recipe, work_dir=str(tmp_path / 'run'), plan=True, auto=True, cfg_options=options) is None
    out = capsys.readouterr().out
    lines, out = out.splitlines(), ' '.join(out.split())
    assert len(lines) <= 26
    assert max(map(len, lines[:-1])) <= 100 or str(tmp_path) in out
    for words in (
        '1 images x 1 process(es) x 2 accumulated = 2',
        '2000 iterations, validation every 2 iterations',
        'lr 0.01, 1 group(s)',
        'LinearLR 0 to 100 iterations, then CosineAnnealingLR 100 to 2000 iterations',
        'averaged weights (EMA)',
        'float32; activations are kept',
        ' expected of ',
        'about ',
    ):
        assert words in out, (words, out)
    assert not (tmp_path / 'run').exists()
    after = random_state()
    assert (before['python'], before['numpy']) == (after['python'], after['numpy'])
    assert torch.equal(before['cpu'], after['cpu'])
    assert set(MessageHub._instance_dict) == hubs


class Made:
    """A trial on a GPU that is made up: an image takes 40 bytes, or 10 where activations are computed again."""

    budget = 70
    loading = 0.01

    def __init__(self, runner, averaged):
        again = runner.model.backbone.with_cp
        self.memory = SimpleNamespace(budget=self.budget, catches=True)
        self._of_image = 10 if again else 40

    def train(self, images, accumulated, steps=3):
        return Measured(images, 1.0, 20 + images * self._of_image)

    def predict(self, steps=2):
        return 0.1


def test_activations_are_computed_again(recipe, segmentor, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmvitdense.apis.adapt.adapting.Trial', Made)
    options = segmentor | {'model.decode_head.norm_cfg': {'type': 'GN', 'num_groups': 8}}
    arguments = {'work_dir': str(tmp_path / 'run'), 'plan': True, 'auto': True, 'cfg_options': options}
    train_model(recipe, **arguments)
    out = ' '.join(capsys.readouterr().out.split())
    assert '(with_cp): 1 instead of 2 would fit without.' in out
    assert 'activations are computed again (with_cp)' in out
    assert '2 images x 1 process(es) x 1 accumulated = 2' in out
    monkeypatch.setattr(Made, 'budget', 29)
    with pytest.raises(InputError, match='Not one image fits'):
        train_model(recipe, **arguments)


def test_a_plan_of_a_detector_in_epochs_without_steps(data, shapes_root, tmp_path, capsys):
    recipe = tmp_path / 'epochs.py'
    recipe.write_text(
        f"_base_ = '{DETECTOR}'\n"
        "train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)\n"
        "train_dataloader = dict(sampler=dict(type='DefaultSampler'))\n"
        'default_hooks = dict(checkpoint=dict(by_epoch=True))\n'
    )
    options = {**TINY_DETECTOR, **data}
    options['val_evaluator.ann_file'] = str(shapes_root / 'annotations/instances_validation.json')
    train_model(recipe, work_dir=str(tmp_path / 'run'), plan=True, auto=True, probe=False, cfg_options=options)
    out = ' '.join(capsys.readouterr().out.split())
    for words in (
        '334 epochs of 3 iterations, validation every 33 epochs, checkpoint every 33 epochs',
        'the best by coco/segm_mAP',
        '(not measured)',
        'time not measured',
    ):
        assert words in out, (words, out)


def test_a_given_length_has_its_schedule(segmentor, tmp_path, capsys):
    """The recipe is for small data already, of 1400 iterations."""
    arguments = {'work_dir': str(tmp_path / 'run'), 'plan': True, 'auto': True, 'probe': False}
    train_model(SEGMENTOR, cfg_options=segmentor | {'train_cfg.max_iters': 40}, **arguments)
    out = ' '.join(capsys.readouterr().out.split())
    assert 'LinearLR 0 to 2 iterations, then CosineAnnealingLR 2 to 40 iterations' in out
    assert 'half a cosine over 40 iterations as given' in out
