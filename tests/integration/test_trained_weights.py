"""Checkpoints without the frozen trunk: written, resumed, evaluated, and refused beside another trunk."""

import re

import pytest
import torch
from mmengine.config import Config

from mmvitdense.apis.build import build_model
from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.test import evaluate_model
from mmvitdense.apis.train import train_model
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.frozen_weights import RECORDS
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import redraw

from .workshop import REPOSITORY, SEGMENTOR, TINY_SEGMENTOR, schedule

TRUNK = 'backbone.blocks.0.attn.qkv.weight'


def trunk_file(path, cfg, seed):
    options = {name: value for name, value in cfg.model.backbone.items() if name not in ('type', 'init_cfg')}
    torch.save(redraw(PlainViT(**options), seed=seed).state_dict(), path)
    return path


@pytest.fixture(scope='module')
def folder(workshop):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop.folder)
        yield workshop.folder


@pytest.fixture(scope='module')
def config(folder):
    cfg = Config.fromfile(SEGMENTOR)
    cfg.merge_from_dict({**TINY_SEGMENTOR, **schedule(4, 2), 'train_dataloader.num_workers': 0})
    cfg.train_cfg.val_interval = 100
    cfg.model.backbone.frozen_stages = 'all'
    cfg.model.backbone.drop_path_rate = 0.5
    file = trunk_file(folder / 'trunk.pth', cfg, 0)
    cfg.model.backbone.init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(file)}
    cfg.custom_hooks = [{'type': 'EMAHook', 'momentum': 0.1}, {'type': 'mmvitdense.TrainedWeightsHook'}]
    return cfg


@pytest.fixture(scope='module')
def whole(folder, config):
    """The work dir of a run of four iterations."""
    train_model(config.copy(), work_dir=str(folder / 'without_trunk'))
    return folder / 'without_trunk'


def changed_trunk(config, **init_cfg):
    cfg = Config(config.to_dict())
    cfg._filename = config.filename  # what messages call it
    cfg.model.backbone.init_cfg = {'type': 'ViTPretrained', **init_cfg}
    return cfg


def test_what_is_saved(whole, config):
    saved = torch.load(whole / 'iter_4.pth', weights_only=False)
    model = build_model(config)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert all(name.startswith('backbone.') for name in frozen)
    assert saved['state_dict'].keys() == model.state_dict().keys() - frozen
    assert {n.removeprefix('module.') for n in saved['ema_state_dict']} == {*saved['state_dict'], 'steps'}
    (record,) = saved[RECORDS]
    assert (record['module'], record['address']) == ('backbone', str(whole.parent / 'trunk.pth'))
    assert record['sums'].keys() == frozen


def test_resumed_to_what_an_uninterrupted_run_gives(whole, config, folder):
    train_model(config.copy(), work_dir=str(folder / 'trained_resumed'), resume=str(whole / 'iter_2.pth'))
    one, other = (torch.load(path / 'iter_4.pth', weights_only=False) for path in (whole, folder / 'trained_resumed'))
    for key in ('state_dict', 'ema_state_dict'):
        assert one[key].keys() == other[key].keys()
        for name, value in one[key].items():
            assert torch.equal(value, other[key][name]), name
    states = zip(one['optimizer']['state'].values(), other['optimizer']['state'].values(), strict=True)
    assert all(torch.equal(x['exp_avg_sq'], y['exp_avg_sq']) for x, y in states)


def test_evaluated_as_with_the_trunk_in_the_file(whole, config, folder):
    # As docs/finetuning.md has it.
    text = (REPOSITORY / 'docs/finetuning.md').read_text()
    found = {'config': config, 'checkpoint': whole / 'iter_4.pth', 'whole': folder / 'with_trunk.pth'}
    exec(re.findall(r'```python\n(.*?)```', text, re.DOTALL)[-1], found)
    trunk = torch.load(folder / 'trunk.pth')
    assert torch.equal(found['model'].state_dict()[TRUNK], trunk[TRUNK.removeprefix('backbone.')])
    scores = [evaluate_model(config.copy(), path) for path in (whole / 'iter_4.pth', folder / 'with_trunk.pth')]
    assert scores[0] == scores[1]
    # Beside an average of the weights, which reads those of the model.
    assert evaluate_model(config.copy(), folder / 'with_trunk.pth', fuse=True) == pytest.approx(scores[0], abs=0.02)


def test_other_trunks_are_refused(whole, config, folder):
    def refused(cfg, message):
        with pytest.raises(CheckpointError, match=message):
            load_model_weights(build_model(cfg), whole / 'iter_4.pth')

    expected = r'expects in backbone the frozen weights of \S+trunk.pth'
    other = trunk_file(folder / 'other.pth', config, 1)
    refused(changed_trunk(config, checkpoint=str(other)), f'{expected} .*has loaded other weights from {other}, first')
    refused(changed_trunk(config, checkpoint='gone.pth'), f'{expected}, which cannot be loaded: .*gone.pth does not')
    without = changed_trunk(config, checkpoint='')
    without.model.backbone.init_cfg = None
    refused(without, rf'{expected} .* has loaded no backbone\.\S+ \(\d+ of \d+ weights are not there\)')
    with pytest.raises(CheckpointError, match='other weights'):
        train_model(
            changed_trunk(config, checkpoint=str(other)), work_dir=str(folder / 'no'), resume=whole / 'iter_2.pth'
        )


def test_the_same_trunk_from_elsewhere_and_rounded_otherwise(whole, config, folder):
    trunk = torch.load(folder / 'trunk.pth')
    trunk = {name: x * (1 + 1e-7 * torch.randn_like(x)) for name, x in trunk.items()}
    torch.save(trunk, folder / 'moved.pth')
    cfg = changed_trunk(config, checkpoint=str(folder / 'moved.pth'))
    model = build_model(cfg)
    load_model_weights(model, whole / 'iter_4.pth')
    assert torch.equal(model.state_dict()[TRUNK], trunk[TRUNK.removeprefix('backbone.')])


def test_a_trunk_of_load_from_stays_in_the_checkpoint(whole, config, folder):
    state = torch.load(folder / 'with_trunk.pth', weights_only=False)
    state['state_dict'][TRUNK] += 1.0
    torch.save(state, folder / 'tuned_trunk.pth')
    cfg = config.copy()
    cfg.load_from = str(folder / 'tuned_trunk.pth')
    cfg.train_cfg.max_iters = 2
    train_model(cfg, work_dir=str(folder / 'from_tuned'))
    saved = torch.load(folder / 'from_tuned' / 'iter_2.pth', weights_only=False)
    assert torch.equal(saved['state_dict'][TRUNK], state['state_dict'][TRUNK])
    assert TRUNK not in saved[RECORDS][0]['sums']
    model = build_model(config)
    load_model_weights(model, folder / 'from_tuned' / 'iter_2.pth')
    assert torch.equal(model.state_dict()[TRUNK], state['state_dict'][TRUNK])
