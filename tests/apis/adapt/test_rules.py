"""Rules by which schedules and rates follow the data, and the images and batches of a step."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmvitdense.apis.adapt import precision
from mmvitdense.apis.adapt.choices import kept_parts, trained_parts
from mmvitdense.apis.adapt.counters import scaled_counters, warmup_options
from mmvitdense.apis.adapt.given import Given
from mmvitdense.apis.adapt.recipe import recipe_of
from mmvitdense.apis.adapt.schedule import Facts, set_schedule
from mmvitdense.apis.adapt.small_data import short_options, short_recipe, shortened
from mmvitdense.apis.adapt.trunk import Trunk
from mmvitdense.apis.config import load_config
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.plan_lines import schedule_line
from mmvitdense.apis.rate_rule import rate_factor, rule_of
from mmvitdense.apis.run_parts import check_parts


def config(schedules, by_epoch=False, length=1000, batch=4, kind='AdamW', base=64, **other):
    loop = {'max_epochs': length} if by_epoch else {'max_iters': length, 'val_interval': length // 4}
    return Config(
        {
            'train_cfg': {'type': 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop', **loop},
            'train_dataloader': {'batch_size': batch},
            'optim_wrapper': {'optimizer': {'type': kind, 'lr': 0.1}},
            'param_scheduler': schedules,
            'auto_scale_lr': {'base_batch_size': base},
            **other,
        }
    )


def rates(schedules, iterations, epoch_length=10):
    """What mmengine makes of schedules, iteration by iteration."""
    wrapper = OptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))
    built = []
    for schedule in schedules:
        options = {'optimizer': wrapper, 'epoch_length': epoch_length}
        by_iteration = schedule.get('convert_to_iter_based')
        options = options if by_iteration else {'optimizer': wrapper}
        built.append(PARAM_SCHEDULERS.build(dict(schedule), default_args=options))
    seen = []
    for _ in range(iterations):
        seen.append(wrapper.param_groups[0]['lr'])
        for scheduler in built:
            scheduler.step()
    return seen


WARM = {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': 20}
SCHEDULES = {
    'milestones': [WARM, {'type': 'MultiStepLR', 'by_epoch': False, 'begin': 0, 'end': 200, 'milestones': [120, 180]}],
    'cosine': [
        WARM,
        {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 20, 'end': 200, 'T_max': 180, 'eta_min': 0.01},
    ],
    'poly': [WARM, {'type': 'PolyLR', 'by_epoch': False, 'begin': 20, 'end': 200, 'power': 0.9, 'eta_min': 0.0}],
    'steps': [{'type': 'StepLR', 'by_epoch': False, 'step_size': 50, 'gamma': 0.5}],
}


@pytest.mark.parametrize('name', SCHEDULES)
def test_summed_batches_have_the_rates_of_the_steps(name):
    """The rate at the start of a step is that of the recipe, whichever number of batches makes it."""
    cfg = config(SCHEDULES[name], length=200)
    options = scaled_counters(cfg, 4, 1, 4)
    assert (options['train_cfg.max_iters'], options['train_cfg.val_interval']) == (800, 200)
    published, found = rates(SCHEDULES[name], 200), rates(options['param_scheduler'], 800)
    # mmengine's lines reach their end one iteration early, which is less than a step of the recipe.
    assert found[::4] == pytest.approx(published, abs=0.0053)
    for stone in (120, 180) if name == 'milestones' else ():
        assert found[4 * stone - 1] > found[4 * stone] == pytest.approx(published[stone])


def test_other_images_of_a_step_show_as_many_images():
    hook = {'type': 'mmvitdense.MaskAnnealingHook', 'starts': [0, 100], 'ends': [50, 150]}
    ema = {'type': 'EMAHook', 'momentum': 0.002, 'begin_iter': 30}
    two = {'type': 'mmvitdense.TwoStageWarmupPoly', 'warmup': (10, 20), 'total': 200, 'by_epoch': False}
    cfg = config(
        [two], length=200, custom_hooks=[hook, ema], default_hooks={'checkpoint': {'by_epoch': False, 'interval': 50}}
    )
    options = scaled_counters(cfg, 4, 2, 2)  # half of the images in a step, and two batches of one
    assert (options['train_cfg.max_iters'], options['default_hooks.checkpoint.interval']) == (800, 200)
    (scaled,) = options['param_scheduler']
    assert (scaled['warmup'], scaled['total'], scaled['accumulative_counts']) == ((20, 40), 400, 2)
    annealing, average = options['custom_hooks']
    assert (annealing['starts'], annealing['ends']) == ([0, 200], [100, 300])
    assert (average['momentum'], average['begin_iter']) == (0.0005, 120)


def test_epochs_stay_and_the_lowest_rate_follows():
    by_epoch = {'type': 'MultiStepLR', 'by_epoch': True, 'milestones': [8, 11]}
    low = {'type': 'PolyLR', 'by_epoch': False, 'begin': 0, 'end': 100, 'eta_min': 1e-4}
    options = scaled_counters(config([WARM, by_epoch, low], by_epoch=True, length=12), 3, 1.5, 2, rate=0.5)
    assert set(options) == {'param_scheduler'}
    warm, stones, poly = options['param_scheduler']
    assert warm['end'] == 60
    assert stones == by_epoch
    assert (poly['end'], poly['eta_min']) == (300, 5e-5)


def test_a_schedule_that_nobody_knows():
    cfg = config([{'type': 'MyLR', 'by_epoch': False, 'begin': 0, 'end': 10}])
    assert scaled_counters(cfg, 1, 1, 1)['train_cfg.max_iters'] == 1000
    with pytest.raises(InputError, match='how MyLR of param_scheduler counts'):
        scaled_counters(cfg, 2, 1, 2)


def test_the_warm_up_is_part_of_a_run():
    assert warmup_options(config([WARM]), 20) == {}
    cosine = {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 20, 'end': 200, 'T_max': 180}
    warm, later = warmup_options(config([WARM, cosine]), 7)['param_scheduler']
    assert warm['end'] == later['begin'] == 7


@pytest.mark.parametrize(
    ('images', 'base', 'per_step', 'steps', 'epochs'),
    [(10, 64, 2, 1000, 200), (100, 64, 4, 1250, 50), (100, 2, 2, 2500, 50), (3000, 64, 64, 2344, 50)],
)
def test_a_long_recipe_becomes_fifty_epochs(images, base, per_step, steps, epochs):
    cfg = config([WARM], length=184375, base=base)
    short = shortened(cfg, images)
    assert (short.per_step, short.steps, short.epochs) == (per_step, steps, epochs)
    options = short_options(cfg, short, accumulated=4)
    length = options['train_cfg.max_iters']
    assert length == 4 * steps
    assert length % options['train_cfg.val_interval'] <= options['train_cfg.val_interval']
    assert options['train_cfg.val_interval'] % 4 == 0
    seen = rates(options['param_scheduler'], length + 1)
    assert seen[0] == pytest.approx(1e-4)
    assert max(seen) == pytest.approx(0.1)
    assert seen.index(max(seen)) == pytest.approx(length / 20, abs=4)
    assert seen[-1] < 1e-6


def test_what_is_short_already_stays():
    assert shortened(config([WARM], length=600, base=4), 60) is None
    assert shortened(config([WARM], length=160000), 118000) is None
    assert shortened(config([WARM], by_epoch=True, length=36, base=16), 118000) is None
    once = load_config('mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py')
    options, said = short_recipe(once, 100)
    assert said.startswith('50 epochs, 1250 steps of 4 images, in the place of 184375 steps of 64, for 100 images')
    once.merge_from_dict(options)
    assert short_recipe(once, 100) == ({}, '')


def test_a_few_epochs_become_fifty():
    """Twelve rounds of 100 images would be over before the warm-up of 500 iterations is."""
    cfg = config([WARM], by_epoch=True, length=12, base=16)
    options, said = short_recipe(cfg, 100)
    assert said.startswith('50 epochs, 1250 steps of 4 images, in the place of 12 epochs')
    assert (options['train_cfg.max_epochs'], options['train_cfg.val_interval']) == (50, 5)
    seen = rates(options['param_scheduler'], 500)
    assert seen.index(max(seen)) == pytest.approx(20, abs=1)
    assert seen[-1] < 1e-5
    cfg.merge_from_dict(options)
    assert short_recipe(cfg, 100) == ({}, '')


def test_annealing_ends_within_a_short_run():
    cfg = load_config('mmvitdense::eomt/eomt-l-dinov3_instance_12e_coco-640.py')
    options, _ = short_recipe(cfg, 100)
    steps = options['train_cfg.max_iters'] // options.get('optim_wrapper.accumulative_counts', 1)
    (hook,) = [hook for hook in options['custom_hooks'] if 'starts' in hook]
    (schedule,) = options['param_scheduler']
    assert max(hook['ends']) < steps == schedule['total']
    assert sum(schedule['warmup']) == steps // 10


@pytest.mark.parametrize(
    ('kind', 'rule', 'factor'), [('SGD', 'linear', 0.25), ('AdamW', 'sqrt', 0.5), ('mmvitdense.Own', 'sqrt', 0.5)]
)
def test_the_rule_of_an_optimizer(kind, rule, factor):
    assert rule_of(kind) == rule
    assert rate_factor({'base_batch_size': 64, 'rule': rule}, 16) == factor


def test_a_rule_that_nobody_knows():
    cfg = config([], auto_scale_lr={'base_batch_size': 4, 'rule': 'cubic'}, model={'type': 'X'})
    with pytest.raises(InputError, match="auto_scale_lr.rule: expected 'linear' or 'sqrt', got 'cubic'"):
        check_parts(cfg)


def test_the_rate_of_sgd_falls_in_a_short_run():
    options, said = short_recipe(config([WARM], length=160000, kind='SGD', base=8, batch=2), 100)
    assert options['optim_wrapper.optimizer.lr'] == pytest.approx(0.1 * 4 / 8)
    assert 'the rate of SGD falls' in said


def test_what_is_given_stays():
    given = Given(['param_scheduler.0.end', 'train_cfg.max_iters', 'model.backbone'])
    options = {'param_scheduler': 1, 'train_cfg.max_iters': 2, 'train_cfg.val_interval': 3, 'model.backbone.with_cp': 4}
    assert given.left(options) == {'train_cfg.val_interval': 3}


VIT = {'type': 'mmvitdense.PlainViT'}


def trunk(pretrained=True, **settings):
    return Trunk('model.backbone.vit', {**VIT, **settings}, ('frozen_stages', 'with_cp'), pretrained, has_depths=True)


@pytest.mark.parametrize(
    ('images', 'vit', 'optimizer', 'expected'),
    [
        (49, trunk(), {}, {'model.backbone.vit.frozen_stages': 'all'}),
        (49, trunk(pretrained=False), {}, {}),
        (100, trunk(), {}, {'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.8}),
        (100, trunk(frozen_stages='all'), {}, {}),
        (100, trunk(), {'paramwise_cfg': {'custom_keys': {'backbone': {'lr_mult': 0.1}}}}, {}),
        (100, trunk(), {'constructor': 'mmvitdense.LearningRateOptimWrapperConstructor'}, {}),
        (100, trunk(), {'optimizer': {'type': 'SGD', 'lr': 0.1}}, {}),
        (100, None, {}, {}),
        (5000, trunk(), {}, {}),
    ],
)
def test_what_is_trained_of_a_trunk(images, vit, optimizer, expected):
    cfg = config([], optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.1}, **optimizer})
    options, said = trained_parts(cfg, images, vit)
    options.pop('optim_wrapper.constructor', None)
    assert options == expected
    assert len(said) == len(expected)


def test_what_is_kept_of_small_data():
    main = ('coco/segm_mAP', 1.0)
    options, (said,) = kept_parts(config([]), 100, main, 1000, 10, Given())
    average, stop = options['custom_hooks']
    assert average == {'type': 'EMAHook', 'momentum': 0.01}
    assert (stop['monitor'], stop['patience'], stop['min_delta']) == ('coco/segm_mAP', 5, 0.001)
    assert options['default_hooks.checkpoint.save_best'] == 'coco/segm_mAP'
    assert said == 'for small data: averaged weights (EMA, momentum 0.01), the best checkpoint, an early end.'
    again = config([], custom_hooks=options['custom_hooks'], default_hooks={'checkpoint': {'save_best': 'x'}})
    assert kept_parts(again, 100, main, 1000, 10, Given()) == ({}, [])
    assert kept_parts(config([]), 100, main, 1000, 10, Given(['custom_hooks', 'default_hooks'])) == ({}, [])
    assert kept_parts(config([]), 5000, main, 1000, 10, Given()) == ({}, [])


@pytest.mark.parametrize(
    ('device', 'has', 'wrapper', 'found'),
    [
        ('cuda', True, {}, ('AmpOptimWrapper', 'bfloat16', {'enabled': False})),
        ('cuda', True, {'type': 'AmpOptimWrapper'}, ('AmpOptimWrapper', 'bfloat16', {'enabled': False})),
        ('cuda', True, {'type': 'AmpOptimWrapper', 'dtype': 'float16'}, ('AmpOptimWrapper', 'float16', None)),
        ('cuda', False, {}, ('OptimWrapper', None, None)),
        ('cuda', False, {'type': 'AmpOptimWrapper'}, ('AmpOptimWrapper', None, None)),
        ('cpu', True, {}, ('AmpOptimWrapper', 'bfloat16', {'enabled': False})),
        ('cpu', False, {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}, ('OptimWrapper', None, None)),
    ],
)
def test_the_precision_of_a_device(device, has, wrapper, found, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: device)
    monkeypatch.setattr(precision, 'has_bfloat16', lambda device: has)
    cfg = Config({'optim_wrapper': {'type': 'OptimWrapper', **wrapper}})
    changes = precision.adapt_precision(cfg, Given())
    assert tuple(cfg.optim_wrapper.get(name) for name in ('type', 'dtype', 'loss_scale')) == found
    assert bool(changes) == (cfg.optim_wrapper != {'type': 'OptimWrapper', **wrapper})
    chosen = Config({'optim_wrapper': {'type': 'OptimWrapper', **wrapper}})
    assert precision.adapt_precision(chosen, Given(['optim_wrapper.type'])) == []


@pytest.mark.parametrize(
    ('processes', 'batch', 'counts', 'iterations', 'scaled'),
    [(1, 4, 16, 16 * 100000, None), (8, 8, 1, 100000, None), (3, 3, 7, 711111, 63 / 64)],
)
def test_a_recipe_for_much_data_keeps_its_images(processes, batch, counts, iterations, scaled, monkeypatch):
    """64 images a step on one GPU, on eight, and 63 on three."""
    monkeypatch.setattr('mmvitdense.apis.adapt.schedule.get_world_size', lambda: processes)
    stones = {'type': 'MultiStepLR', 'by_epoch': False, 'begin': 0, 'end': 100000, 'milestones': [90000]}
    published = config([WARM, stones], length=100000, batch=4)
    cfg = config([WARM, stones], length=100000, batch=batch)
    cfg.optim_wrapper.accumulative_counts = counts
    changes = []
    facts = Facts(118000, ('coco/bbox_mAP', 1.0), None, {}, least=1)
    set_schedule(cfg, recipe_of(published), shortened(published, 118000), facts, Given(), changes)
    assert cfg.train_cfg.max_iters == pytest.approx(iterations, abs=counts)
    assert cfg.train_cfg.max_iters % counts == 0
    assert cfg.param_scheduler[1].milestones[0] == pytest.approx(0.9 * iterations, abs=1)
    assert cfg.param_scheduler[0].end == pytest.approx(20 * iterations / 100000, abs=1)
    if scaled is None:
        assert not cfg.auto_scale_lr.get('enable')
    else:
        assert rate_factor(cfg.auto_scale_lr, 63) == pytest.approx(scaled**0.5)
        assert any('the square root of 63/64 images' in change for change in changes)
    assert len(changes) == (scaled is not None) + (iterations != 100000)
    assert 'custom_hooks' not in cfg


@pytest.mark.parametrize(
    ('ends', 'length', 'said'),
    [
        ((5, 40), 40, ''),
        ((5, 40), 60, '; from 40 to 60 the rate stays at its last value'),
        ((5, 40), 30, '; the run ends before it, at 30'),
        ((5, None), 3, ''),
    ],
)
def test_a_plan_says_where_the_schedule_is_not_as_long_as_the_run(ends, length, said):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    kinds = [dict(type='LinearLR', start_factor=0.1, begin=0, end=ends[0], by_epoch=False)]
    if ends[1]:
        kinds.append(dict(type='CosineAnnealingLR', T_max=35, begin=ends[0], end=ends[1], by_epoch=False))
    schedules = [PARAM_SCHEDULERS.build(kind, default_args=dict(optimizer=optimizer)) for kind in kinds]
    loop = SimpleNamespace(max_iters=length, dataloader_iterator=None)
    line = schedule_line(SimpleNamespace(param_schedulers=schedules, train_loop=loop))
    assert line.partition(' iterations;')[2] == said.removeprefix(';')
