"""A checkpoint is resumed with the optimizer that it was written with, and what else differs is said."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import LinearLR, OptimWrapper, OptimWrapperDict
from torch import nn
from torch.optim import SGD, AdamW

from mmvitdense.engine import OtherTrainingError
from mmvitdense.engine.same_training import compare_training

WRITTEN = {'meta': {'epoch': 0, 'iter': 1}, 'message_hub': {}}


def training(kind=AdamW, schedules=1, layers=2, **options):
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(layers)))
    wrapper = OptimWrapper(kind(model.parameters(), **{'lr': 0.1, **options}))
    made = [LinearLR(wrapper, start_factor=0.5, end=4, by_epoch=False) for _ in range(schedules)]
    wrapper.update_params(model(torch.ones(1, 2)).sum())
    return SimpleNamespace(optim_wrapper=wrapper, param_schedulers=made)


def saved(run):
    return {
        'optimizer': run.optim_wrapper.state_dict(),
        'param_schedulers': [schedule.state_dict() for schedule in run.param_schedulers],
        **WRITTEN,
    }


def test_the_same_training_has_nothing_to_say_wherever_its_schedule_is():
    run = training()
    checkpoint = saved(run)
    for schedule in run.param_schedulers:
        schedule.step()
    assert compare_training(run, checkpoint) == []
    # Written by a version of torch that knew fewer settings.
    for group in checkpoint['optimizer']['param_groups']:
        for key in ('maximize', 'foreach', 'capturable', 'differentiable', 'fused', 'decoupled_weight_decay'):
            group.pop(key, None)
    assert compare_training(run, checkpoint) == []


@pytest.mark.parametrize(
    ('now', 'before', 'message'),
    [
        ({'kind': SGD}, {}, r'^optim_wrapper\.optimizer: the config has SGD, .* one without .*momentum.*load_from'),
        ({}, {'kind': SGD}, r'the config has AdamW, .* one without .*betas'),
        ({'layers': 1}, {}, r'the config has 1 group\(s\) with 2 parameters, .* with 1 group\(s\) with 4'),
    ],
)
def test_another_optimizer_is_refused(now, before, message):
    with pytest.raises(OtherTrainingError, match=message):
        compare_training(training(**now), saved(training(**before)))


@pytest.mark.parametrize(('key', 'said'), [('message_hub', 'message_hub'), ('meta', r'meta\.epoch, meta\.iter')])
def test_files_of_other_runners_are_refused(key, said):
    checkpoint = saved(training())
    del checkpoint[key]
    with pytest.raises(OtherTrainingError, match=f'has no {said}, .*load_from=CHECKPOINT'):
        compare_training(training(), checkpoint)


def test_settings_that_are_not_used_are_said():
    notes = compare_training(training(lr=0.5, weight_decay=0.3), saved(training(schedules=2)))
    assert notes == [
        'optim_wrapper.optimizer.lr=0.5 is not used: the resumed run goes on with 0.1',
        'optim_wrapper.optimizer.weight_decay=0.3 is not used: the resumed run goes on with 0.01',
        'param_scheduler: the config has 1 and the resumed run 2, so those in one place alone go on',
    ]


def test_several_optimizers():
    def several(**options):
        return SimpleNamespace(
            optim_wrapper=OptimWrapperDict(a=training(**options).optim_wrapper), param_schedulers={'a': []}
        )

    checkpoint = {'optimizer': several().optim_wrapper.state_dict(), 'param_schedulers': {'a': []}, **WRITTEN}
    assert compare_training(several(), checkpoint) == []
    with pytest.raises(OtherTrainingError, match=r'optim_wrapper\.a\.optimizer: the config has SGD'):
        compare_training(several(kind=SGD), checkpoint)
    with pytest.raises(OtherTrainingError, match=r'optim_wrapper\.a: .* no state for it'):
        compare_training(several(), saved(training()))
