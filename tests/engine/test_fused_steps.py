"""Steps of AdamW in one pass: the same numbers, and resumed as they began."""

import copy

import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import SGD, AdamW

from mmvitdense.engine.fused_steps import fuse_steps


def _steps(optimizer, weight, count):
    for _ in range(count):
        weight.grad = torch.sin(3 * weight.detach())
        optimizer.step()


def test_the_numbers_of_the_unfused_step_and_an_exact_resumption():
    start = torch.randn(7, 5)
    weights = [nn.Parameter(start.clone()) for _ in range(3)]
    plain, fused, resumed = (AdamW([weight], lr=0.1, weight_decay=0.1) for weight in weights)
    for optimizer in (fused, resumed):
        fuse_steps(OptimWrapper(optimizer))
    assert fused.param_groups[0]['fused']
    _steps(plain, weights[0], 6)
    _steps(fused, weights[1], 3)
    weights[2].data.copy_(weights[1].data)
    resumed.load_state_dict(copy.deepcopy(fused.state_dict()))
    _steps(fused, weights[1], 3)
    _steps(resumed, weights[2], 3)
    torch.testing.assert_close(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


def test_the_choice_of_a_config_stays():
    weight = nn.Parameter(torch.zeros(2))
    for optimizer in (AdamW([weight], foreach=True), AdamW([weight], fused=False), SGD([weight], lr=0.1)):
        before = copy.copy(optimizer.param_groups[0])
        fuse_steps(OptimWrapper(optimizer))
        assert optimizer.param_groups[0].get('fused') == before.get('fused')
    away = AdamW([nn.Parameter(torch.zeros(2, device='meta'))])
    fuse_steps(OptimWrapper(away))
    assert away.param_groups[0]['fused'] is None
