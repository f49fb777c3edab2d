"""Learning rates by the names of parameters, and their company."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmvitdense.models import MIMDet, PlainViT

BASE_LR, WEIGHT_DECAY = 8e-5, 0.1
NOTHING_FLAT = {'norm_decay_mult': 0.0, 'bias_decay_mult': 0.0, 'flat_decay_mult': 0.0}


class Detector(nn.Module):
    def __init__(self, fill='conv_feat'):
        super().__init__()
        small = {'embed_dims': 8, 'num_layers': 2, 'num_heads': 2, 'pretrain_img_size': 32}
        self.backbone = MIMDet(vit=small, decoder={'embed_dims': 8, 'num_layers': 1, 'num_heads': 2}, fill=fill)
        self.neck = nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)


def options_by_name(model, paramwise, constructor='LearningRateOptimWrapperConstructor'):
    """(learning rate, weight decay) of every parameter that learns; fails when one is in two groups or in none."""
    config = {
        'type': 'OptimWrapper',
        'optimizer': {'type': 'AdamW', 'lr': BASE_LR, 'weight_decay': WEIGHT_DECAY},
        'constructor': f'mmvitdense.{constructor}',
        'paramwise_cfg': paramwise,
    }
    # Whether frozen ones are in a group differs between versions of mmengine.
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    groups = build_optim_wrapper(model, config).optimizer.param_groups
    found = [
        (names[id(p)], group['lr'], group['weight_decay'])
        for group in groups
        for p in group['params']
        if p.requires_grad
    ]
    assert sorted(name for name, *_ in found) == sorted(names.values())
    return {name: (lr, decay) for name, lr, decay in found}


# Learning rates of hustvl/MIMDet by hand: stem, the rest of the encoder, everything else.
RATES = {'B': (2.0, 8e-5, 4e-5, 1.6e-4), 'L': (3.5, 8e-5, 2.2857143e-5, 2.8e-4)}


@pytest.mark.parametrize('size', list(RATES))
@pytest.mark.parametrize('fill', ['conv_feat', 'mask_token'])
def test_three_rates_of_mimdet(size, fill):
    m, stem, encoder, others = RATES[size]
    model = Detector(fill)
    mults = {'backbone.stem': 1.0, 'backbone.vit': 1 / m, '': m}
    options = options_by_name(model, {'lr_mults': mults, **NOTHING_FLAT})
    assert options['backbone.stem.stages.3.conv.weight'] == pytest.approx((stem, 0.1))
    assert options['backbone.stem.stages.0.norm.weight'] == pytest.approx((stem, 0.0))
    assert options['backbone.stem.proj.bias'] == pytest.approx((stem, 0.0))
    assert options['backbone.vit.blocks.0.attn.qkv.weight'] == pytest.approx((encoder, 0.1))
    assert options['backbone.vit.norm.bias'] == pytest.approx((encoder, 0.0))
    assert options['backbone.decoder.blocks.0.mlp.fc1.weight'] == pytest.approx((others, 0.1))
    assert options['backbone.decoder_embed.weight'] == pytest.approx((others, 0.1))
    assert options['neck.1.weight'] == pytest.approx((others, 0.0))
    assert options['head.weight'] == pytest.approx((others, 0.1))
    parameters = dict(model.named_parameters())
    for name, (lr, decay) in options.items():
        group = stem if '.stem.' in name else encoder if '.vit.' in name else others
        assert lr == pytest.approx(group), name
        assert decay == (0.0 if parameters[name].ndim == 1 else 0.1), name
    if fill == 'mask_token':
        assert options['backbone.mask_token'] == pytest.approx((others, 0.1))


def test_the_longest_start_counts_and_parts_are_whole():
    """'backbone.de' is the start of no part, and the order of the keys is of no importance."""
    mults = {'backbone.decoder': 3.0, 'backbone': 2.0, 'backbone.decoder.blocks.0.mlp': 5.0}
    options = options_by_name(Detector(), {'lr_mults': mults})
    assert options['backbone.decoder.blocks.0.mlp.fc1.weight'][0] == pytest.approx(5 * BASE_LR)
    assert options['backbone.decoder.norm.weight'][0] == pytest.approx(3 * BASE_LR)
    assert options['backbone.decoder_embed.weight'][0] == pytest.approx(2 * BASE_LR)
    assert options['head.weight'][0] == BASE_LR


def test_with_the_other_options_of_mmengine():
    paramwise = {'lr_mults': {'head': 10.0}, 'bias_lr_mult': 2.0, 'custom_keys': {'neck': {'lr_mult': 0.5}}}
    options = options_by_name(Detector(), paramwise)
    assert options['head.bias'] == pytest.approx((20 * BASE_LR, WEIGHT_DECAY))
    assert options['head.weight'] == pytest.approx((10 * BASE_LR, WEIGHT_DECAY))
    assert options['neck.0.weight'] == pytest.approx((0.5 * BASE_LR, WEIGHT_DECAY))


def test_without_an_option():
    assert set(options_by_name(Detector(), None).values()) == {(BASE_LR, WEIGHT_DECAY)}


def test_layer_decay_multiplies():
    model = nn.ModuleDict({'backbone': PlainViT(embed_dims=8, num_layers=2, num_heads=2), 'head': nn.Linear(2, 2)})
    paramwise = {'layer_decay_rate': 0.5, 'lr_mults': {'head': 10.0, 'backbone.blocks.1': 3.0}, **NOTHING_FLAT}
    options = options_by_name(model, paramwise, 'LayerDecayOptimWrapperConstructor')
    assert options['head.weight'] == pytest.approx((10 * BASE_LR, WEIGHT_DECAY))
    assert options['backbone.blocks.1.mlp.fc1.weight'] == pytest.approx((3 * BASE_LR / 2, WEIGHT_DECAY))
    assert options['backbone.blocks.0.mlp.fc1.bias'] == pytest.approx((BASE_LR / 4, 0.0))


def test_layer_decay_of_a_mimdet():
    """The stem learns most slowly, the decoder at the full rate."""
    options = options_by_name(Detector(), {'layer_decay_rate': 0.5}, 'LayerDecayOptimWrapperConstructor')
    assert options['backbone.stem.proj.weight'][0] == pytest.approx(BASE_LR / 8)
    assert options['backbone.vit.blocks.1.norm1.weight'][0] == pytest.approx(BASE_LR / 2)
    assert options['backbone.decoder.blocks.0.norm1.weight'][0] == options['head.weight'][0] == BASE_LR


def test_position_tables_do_not_move():
    model = Detector()
    before = model.backbone.vit.pos_embed.clone()
    config = {'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': 1.0, 'weight_decay': 1.0}}
    wrapper = build_optim_wrapper(
        model,
        {**config, 'constructor': 'mmvitdense.LearningRateOptimWrapperConstructor', 'paramwise_cfg': NOTHING_FLAT},
    )
    wrapper.update_params(sum(level.sum() for level in model.backbone(torch.randn(1, 3, 32, 32))))
    assert torch.equal(model.backbone.vit.pos_embed, before)


def test_a_start_of_no_parameter():
    with pytest.raises(ValueError, match=r"lr_mults names 'backbone\.vti', .* are backbone, head, neck"):
        options_by_name(Detector(), {'lr_mults': {'backbone.vti': 2.0}})


@pytest.mark.parametrize('factor', [-1.0, '2', None])
def test_a_factor_that_is_none(factor):
    with pytest.raises(ValueError, match=r"factors of at least 0, got .* for 'head'"):
        options_by_name(Detector(), {'lr_mults': {'head': factor}})


def test_frozen_parameters_take_one_line(monkeypatch):
    lines = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'handle', lambda record: logger.filter(record) and lines.append(record.getMessage()))
    model = nn.ModuleDict({'backbone': PlainViT(embed_dims=8, num_layers=2, num_heads=2, frozen_stages=1)})
    options_by_name(model, NOTHING_FLAT)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert len(frozen) == 15
    assert [line for line in lines if any(name in line for name in frozen)] == [
        f'15 parameters are frozen, first {", ".join(frozen[:4])}'
    ]
    assert not logger.filters
