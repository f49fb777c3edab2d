"""Mixed precision by option, and on CPUs."""

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from mmvitdense.apis.amp import amp_for_device, enable_amp, enable_test_amp, precision, tf32_notes
from mmvitdense.apis.errors import InputError
from mmvitdense.commands import _prepared, parser_of


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


@pytest.mark.parametrize(
    ('dtype', 'own', 'expected'),
    [
        ('bfloat16', None, ('bfloat16', {'enabled': False})),
        ('float16', None, ('float16', 'dynamic')),
        ('float16', 'bfloat16', ('float16', 'dynamic')),
        (None, 'bfloat16', ('bfloat16', {'enabled': False})),
        (None, None, (None, 'dynamic')),
    ],
)
def test_types(dtype, own, expected):
    """bfloat16 has the range of float32, and its loss is not scaled."""
    cfg = config(type='OptimWrapper', **({'dtype': own} if own else {}))
    assert enable_amp(cfg, dtype) == []
    assert (cfg.optim_wrapper.get('dtype'), cfg.optim_wrapper.loss_scale) == expected


def test_a_type_wins_over_that_of_a_config_with_mixed_precision():
    cfg = config(type='AmpOptimWrapper', loss_scale='dynamic')
    assert enable_amp(cfg, 'bfloat16') == []
    assert (cfg.optim_wrapper.dtype, cfg.optim_wrapper.loss_scale) == ('bfloat16', {'enabled': False})
    assert 'left as it is' in enable_amp(cfg, 'bfloat16')[0]
    with pytest.raises(InputError, match=r"--amp: expected float16 or bfloat16, got 'bfloat'; did you mean 'bfloat16'"):
        enable_amp(cfg, 'bfloat')


def test_a_test_in_mixed_precision():
    """What the loop of a test asks torch for is the type that was given, for as long as it runs."""
    cfg = Config({'test_cfg': {'type': 'TestLoop'}})
    assert len(enable_test_amp(cfg, 'bfloat16')) == (get_device() == 'cpu')
    assert cfg.test_cfg.fp16
    before = torch.get_autocast_dtype('cuda'), torch.backends.cuda.matmul.allow_tf32
    with precision('bfloat16', tf32=True):
        assert torch.get_autocast_dtype('cuda') == torch.bfloat16
        assert torch.backends.cuda.matmul.allow_tf32
    assert (torch.get_autocast_dtype('cuda'), torch.backends.cuda.matmul.allow_tf32) == before
    assert tf32_notes(False) == []
    assert len(tf32_notes(True)) == (get_device() != 'cuda')


@pytest.mark.parametrize(
    ('words', 'amp'),
    [
        (['c.py'], False),
        (['--amp', 'c.py'], True),
        (['c.py', '--amp'], True),
        (['--amp', 'bfloat16', 'c.py'], 'bfloat16'),
        (['c.py', '--amp=float16'], 'float16'),
    ],
)
def test_on_the_command_line(words, amp):
    """A config behind the option without a type is not taken for one."""
    for name in ('train', 'test'):
        arguments = parser_of(name, None).parse_args(_prepared(name, words))
        assert (arguments.config, arguments.amp, arguments.tf32) == ('c.py', amp, False)


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
