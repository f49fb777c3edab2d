"""Mixed precision by option, and on CPUs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from mmvitdense.apis.amp import amp_for_device, enable_amp
from mmvitdense.apis.errors import InputError


def config(**wrapper):
    return Config({'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}, **wrapper}})


def test_the_option_sets_dynamic_loss_scaling():
    cfg = config(type='OptimWrapper', clip_grad={'max_norm': 1.0})
    assert enable_amp(cfg) == []
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0


def test_a_config_with_mixed_precision_is_left_as_it_is():
    cfg = config(type='AmpOptimWrapper', loss_scale=512.0)
    before = cfg.to_dict()
    (note,) = enable_amp(cfg)
    assert 'left as it is' in note
    assert cfg.to_dict() == before


def test_other_wrappers_are_refused():
    with pytest.raises(InputError, match='got ApexOptimWrapper'):
        enable_amp(config(type='ApexOptimWrapper'))


@pytest.mark.skipif(get_device() != 'cpu', reason='this machine has a GPU')
def test_on_a_cpu_the_wrapper_is_replaced():
    cfg = config(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
    (note,) = amp_for_device(cfg)
    assert 'bfloat16' in note
    assert cfg.optim_wrapper == {'type': 'mmvitdense.CpuAmpOptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.1}}
    assert amp_for_device(config(type='OptimWrapper')) == []
    assert amp_for_device(Config({})) == []


def test_the_cpu_wrapper_computes_in_bfloat16_and_steps_in_float32():
    model = nn.Linear(4, 1, bias=False)
    model.weight.data.fill_(1)
    wrapper = OPTIM_WRAPPERS.build(
        {'type': 'mmvitdense.CpuAmpOptimWrapper', 'optimizer': torch.optim.SGD(model.parameters(), lr=0.5)}
    )
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().mean())
    assert model.weight.dtype == torch.float32
    torch.testing.assert_close(model.weight.data, torch.full((1, 4), 0.5))
