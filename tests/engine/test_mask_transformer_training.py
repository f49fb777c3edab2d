"""How EoMT is trained: rates by layer, warm-up in two stages, annealing of masks, and going on after a stop."""

import uuid

import mmengine.runner.runner
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

from mmvitdense.engine import MaskAnnealingHook, TwoStageWarmupPoly
from mmvitdense.models import EoMT
from tests.reliability.same_runs import flat, last_checkpoint

VIT = {'embed_dims': 8, 'num_heads': 2, 'feedforward_channels': 8, 'img_size': 16, 'patch_size': 8}
CONSTRUCTOR = 'mmvitdense.MaskTransformerOptimWrapperConstructor'


class Segmentor(BaseModel):
    """A model whose loss uses all that an EoMT predicts."""

    def __init__(self, num_layers=4, **options):
        super().__init__()
        self.backbone = EoMT({**VIT, 'with_cls_token': True, 'num_layers': num_layers}, 3, 5, **options)
        self.other = torch.nn.Linear(2, 2)

    def forward(self, inputs, mode='loss'):
        out = self.backbone(torch.stack(list(inputs)))
        return {'loss': sum(x.square().mean() for x in (*out.classes, *out.masks)) + self.other.weight.square().sum()}


def wrapper_of(model, lr=1e-4, **paramwise):
    optimizer = {'type': 'AdamW', 'lr': lr, 'weight_decay': 0.05}
    return build_optim_wrapper(
        model, {'type': 'OptimWrapper', 'optimizer': optimizer, 'constructor': CONSTRUCTOR, 'paramwise_cfg': paramwise}
    )


def options_of(model, wrapper):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group['params']}


class TestRates:
    @pytest.mark.parametrize('full', [0, 4])
    def test_of_a_vit_l(self, full):
        """The last block has the full rate; for DINOv3 all blocks with queries have it."""
        model = Segmentor(24)
        groups = options_of(model, wrapper_of(model, layer_decay_rate=0.8, num_full_blocks=full))
        assert groups.keys() == dict(model.named_parameters()).keys()
        for name, group in groups.items():
            if name.startswith('backbone.vit.blocks.'):
                block = int(name.split('.')[3])
                expected = 1.0 if block >= 24 - full else 0.8 ** (23 - block)
            elif name.startswith('backbone.vit.') and not name.startswith('backbone.vit.norm.'):
                expected = 0.8**23
            else:
                expected = 1.0
            assert group['lr'] == pytest.approx(1e-4 * expected), name
            assert group['weight_decay'] == 0.05, 'all is decayed'
            assert (group.get('stage') == 'vit') == name.startswith('backbone.vit.'), name
        assert groups['backbone.vit.pos_embed']['lr'] / 1e-4 == pytest.approx(0.00590, rel=1e-3)

    def test_of_parts(self):
        model = Segmentor()
        groups = options_of(model, wrapper_of(model, lr_mults={'backbone.vit': 0.1}))
        rates = {name: round(group['lr'] / 1e-4, 6) for name, group in groups.items()}
        assert {rates[name] for name in rates if name.startswith('backbone.vit.')} == {0.1}
        assert rates['backbone.head.query_embed.weight'] == rates['other.weight'] == 1.0

    def test_bad_options(self):
        with pytest.raises(ValueError, match='layer_decay_rate above 0 and at most 1'):
            wrapper_of(Segmentor(), layer_decay_rate=1.5)
        with pytest.raises(
            ValueError, match='needs a model that holds a ViT, such as mmvitdense.EoMT; Linear has none'
        ):
            wrapper_of(torch.nn.Linear(2, 2))


class TestTwoStageWarmup:
    def build(self, **options):
        wrapper = wrapper_of(Segmentor(), layer_decay_rate=0.8)
        options = {'warmup': (500, 1000), 'total': 10_000, 'by_epoch': False, **options}
        return wrapper, PARAM_SCHEDULERS.build(
            {'type': 'mmvitdense.TwoStageWarmupPoly', 'optimizer': wrapper, **options}
        )

    def test_factors(self):
        factors = self.build()[1].factors
        assert [factors(step)['heads'] for step in (0, 250, 500)] == [0.0, 0.5, 1.0]
        assert [factors(step)['vit'] for step in (0, 250, 499, 500, 1000, 1500)] == [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
        assert factors(5250) == pytest.approx({'heads': 0.5**0.9, 'vit': (1 - 3750 / 8500) ** 0.9})
        assert factors(10_000) == factors(10_001) == {'heads': 0.0, 'vit': 0.0}
        assert self.build(warmup=(0, 0))[1].factors(0) == {'heads': 1.0, 'vit': 1.0}

    @pytest.mark.parametrize('accumulative_counts', [1, 3])
    def test_rates(self, accumulative_counts):
        wrapper, scheduler = self.build(warmup=(2, 4), total=20, accumulative_counts=accumulative_counts)
        model_rates = [group['initial_lr'] for group in wrapper.param_groups]
        for iteration in range(20 * accumulative_counts):
            factors = scheduler.factors(iteration // accumulative_counts)
            for base, group in zip(model_rates, wrapper.param_groups):
                factor = factors['vit' if group.get('stage') == 'vit' else 'heads']
                assert group['lr'] == pytest.approx(base * factor)
            wrapper.optimizer.step()
            scheduler.step()

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'by_epoch': True}, 'set by_epoch=False'),
            ({'warmup': (500, 9500)}, r'together fewer than total=10000, got \(500, 9500\)'),
            ({'end': 12}, 'ends after 10000 iterations, and the run gives it end=12: set by_epoch=False'),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            self.build(**options)

    def test_groups_without_vit(self):
        with pytest.raises(ValueError, match='finds no parameters of a ViT: build the optimizer with'):
            TwoStageWarmupPoly(torch.optim.SGD([torch.zeros(1)], 0.1), (1, 1), 9)


class TestAnnealing:
    def test_values(self):
        hook = MaskAnnealingHook([14782, 29564], [29564, 44346])
        assert hook.probabilities(14781) == hook.probabilities(14782) == [1.0, 1.0]
        assert hook.probabilities(14782 + 7391) == [pytest.approx(0.5**0.9), 1.0]
        assert hook.probabilities(29564) == [0.0, 1.0]
        assert hook.probabilities(44345)[1] > 0
        assert hook.probabilities(44346) == [0.0, 0.0]

    @pytest.mark.parametrize(('starts', 'ends'), [([1], [1]), ([1, 2], [3]), ([-1], [3])])
    def test_bad_steps(self, starts, ends):
        with pytest.raises(ValueError, match='each end after its start'):
            MaskAnnealingHook(starts, ends)

    @pytest.mark.parametrize(
        ('model', 'found'),
        [(Segmentor(num_query_blocks=3), 'blocks with masks: 3'), (torch.nn.Linear(2, 2), 'no masks')],
    )
    def test_other_models(self, model, found):
        runner = type('Runner', (), {'model': model})
        with pytest.raises(ValueError, match=f'starts and ends for 2 blocks, and .* has {found}'):
            MaskAnnealingHook([0, 1], [2, 3]).before_train(runner)


class Samples:
    """Images that are told apart."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {'inputs': torch.full((3, 16, 16), index / 8) + torch.rand(3, 16, 16)}


class Stop(Hook):
    """What a kill leaves: an exception before an iteration."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            raise InterruptedError


class Watch(Hook):
    """Record the probabilities that each iteration had."""

    def __init__(self):
        self.seen = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen[runner.iter] = runner.model.backbone.masking.attn_mask_probs.tolist()


def train(work_dir, hooks=(), resume=False, accumulative_counts=1):
    torch.manual_seed(1)
    runner = Runner(
        Segmentor(num_query_blocks=2),
        str(work_dir),
        train_dataloader={
            'batch_size': 2,
            'dataset': Samples(),
            'sampler': {'type': 'InfiniteSampler', 'shuffle': True},
            'collate_fn': {'type': 'default_collate'},
        },
        train_cfg={'by_epoch': False, 'max_iters': 14},
        optim_wrapper={
            'optimizer': {'type': 'AdamW', 'lr': 0.01},
            'constructor': CONSTRUCTOR,
            'paramwise_cfg': {'layer_decay_rate': 0.8},
            'accumulative_counts': accumulative_counts,
        },
        param_scheduler=[
            {
                'type': 'mmvitdense.TwoStageWarmupPoly',
                'warmup': (1, 2),
                'total': 14 // accumulative_counts,
                'accumulative_counts': accumulative_counts,
                'by_epoch': False,
            }
        ],
        default_hooks={
            'checkpoint': {'type': 'mmvitdense.WholeCheckpointHook', 'interval': 4, 'by_epoch': False},
            'repeatable': {'type': 'mmvitdense.RepeatableHook'},
            'logger': {'type': 'LoggerHook', 'interval': 1},
        },
        custom_hooks=[{'type': 'mmvitdense.MaskAnnealingHook', 'starts': [1, 3], 'ends': [5, 7]}, *hooks],
        log_processor={'by_epoch': False},
        randomness={'seed': 5},
        resume=resume,
        log_level='WARNING',
        experiment_name=str(uuid.uuid4()),
        cfg=Config({'model_wrapper_cfg': {}}),
    )
    runner.train()
    return runner


@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_a_stopped_run_goes_on_as_it_would_have(tmp_path, monkeypatch, accumulative_counts):
    """Stopped in the middle of the annealing: weights, probabilities and all of the optimizer are the same."""
    monkeypatch.setattr(mmengine.runner.runner, 'collect_env', dict)  # asks compilers for their versions
    watch = Watch()
    train(tmp_path / 'whole', [watch], accumulative_counts=accumulative_counts)
    hook = MaskAnnealingHook([1, 3], [5, 7])
    for iteration, seen in watch.seen.items():
        assert seen == pytest.approx(hook.probabilities(iteration // accumulative_counts)), iteration
    with pytest.raises(InterruptedError):
        train(tmp_path / 'stopped', [Stop(6)], accumulative_counts=accumulative_counts)
    kept = last_checkpoint(tmp_path / 'stopped')['state_dict']['backbone.masking.attn_mask_probs']
    assert kept.tolist() == pytest.approx(hook.probabilities(3 // accumulative_counts))
    train(tmp_path / 'stopped', resume=True, accumulative_counts=accumulative_counts)
    whole, resumed = (last_checkpoint(tmp_path / name) for name in ('whole', 'stopped'))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        expected, found = flat(whole[part]), flat(resumed[part])
        assert expected.keys() == found.keys()
        for place, value in expected.items():
            same = torch.equal(found[place], value) if isinstance(value, torch.Tensor) else found[place] == value
            assert same, place
