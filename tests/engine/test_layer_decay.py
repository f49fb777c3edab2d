"""Layer-wise decay of the learning rate, against ViTDet's table of rates and weight decay."""

import re

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.engine import LayerDecayOptimWrapperConstructor
from mmvitdense.layers import LayerNorm2d
from mmvitdense.models import PlainViT, SimpleFeaturePyramid

BASE_LR, WEIGHT_DECAY = 1e-4, 0.1
# Depth and rate of the published recipes, and their exceptions from weight decay.
EXCEPTIONS = {'norm_decay_mult': 0.0, 'custom_keys': {'pos_embed': {'decay_mult': 0.0}}}
RECIPES = {'B': (12, 0.7, EXCEPTIONS), 'L': (24, 0.8, EXCEPTIONS), 'H': (32, 0.9, {})}


class Detector(nn.Module):
    """A ViTDet of narrow layers and any depth, with a head that has norms of both kinds."""

    def __init__(self, num_layers=12, **options):
        super().__init__()
        self.backbone = PlainViT(
            embed_dims=8,
            num_layers=num_layers,
            num_heads=2,
            feedforward_channels=8,
            img_size=64,
            pos_embed_cls_slot=True,
            window_size=2,
            rel_pos='decomposed',
            conv_blocks=(num_layers - 1,),
            **options,
        )
        self.neck = SimpleFeaturePyramid(8, 4)
        self.roi_head = nn.ModuleDict({'conv': nn.Conv2d(4, 4, 3), 'ln': LayerNorm2d(4), 'fc': nn.Linear(4, 2)})


def optimizer_of(model, rate, exceptions=None, optimizer=None, **config):
    wrapper = build_optim_wrapper(
        model,
        {
            'type': 'OptimWrapper',
            'optimizer': optimizer or {'type': 'AdamW', 'lr': BASE_LR, 'weight_decay': WEIGHT_DECAY},
            'constructor': 'mmvitdense.LayerDecayOptimWrapperConstructor',
            'paramwise_cfg': {'layer_decay_rate': rate, **(exceptions or {})},
            **config,
        },
    )
    assert isinstance(wrapper, OptimWrapper)
    return wrapper.optimizer


def options_by_name(model, optimizer):
    """(learning rate, weight decay) of every parameter; fails when one is in two groups or in none."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    options = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            name = names[id(parameter)]
            assert name not in options, f'{name} is in two groups'
            options[name] = (group['lr'], group['weight_decay'])
    assert options.keys() == set(names.values())
    return options


@pytest.mark.parametrize('size', list(RECIPES))
def test_table_of_vitdet(size):
    num_layers, rate, exceptions = RECIPES[size]
    model = Detector(num_layers)
    options = options_by_name(model, optimizer_of(model, rate, exceptions))
    for name, (lr, decay) in options.items():
        block = re.match(r'backbone\.blocks\.(\d+)\.(?!residual)', name)
        depth = num_layers + 1
        if re.match(r'backbone\.(pos_embed|patch_embed)', name):
            depth = 0
        elif block:
            depth = int(block[1]) + 1
        assert lr == pytest.approx(BASE_LR * rate ** (num_layers + 1 - depth)), name
        of_vit_norm = re.search(r'^backbone\.blocks\.\d+\.norm[12]\.', name)
        exempt = exceptions and (of_vit_norm or name == 'backbone.pos_embed')
        assert decay == (0.0 if exempt else WEIGHT_DECAY), name


def test_published_figures():
    """Numbers of the recipe, so that no error in the formula above goes unseen."""
    model = Detector(12)
    options = options_by_name(model, optimizer_of(model, 0.7, EXCEPTIONS))
    factors = {
        'backbone.pos_embed': 0.00969,
        'backbone.patch_embed.proj.weight': 0.00969,
        'backbone.blocks.0.attn.qkv.weight': 0.01384,
        'backbone.blocks.11.attn.rel_pos_h': 0.7,
        'backbone.blocks.11.residual.conv1.weight': 1.0,
        'neck.lateral_convs.0.0.weight': 1.0,
        'roi_head.fc.weight': 1.0,
    }
    for name, factor in factors.items():
        assert options[name][0] / BASE_LR == pytest.approx(factor, abs=5e-6), name
    decays = {
        'backbone.pos_embed': 0.0,
        'backbone.blocks.3.norm1.bias': 0.0,
        'backbone.blocks.3.attn.qkv.bias': 0.1,
        'backbone.blocks.3.attn.rel_pos_w': 0.1,
        'backbone.blocks.11.residual.norm3.weight': 0.1,
        'neck.lateral_convs.0.1.weight': 0.1,
        'roi_head.ln.weight': 0.1,
        'roi_head.fc.bias': 0.1,
    }
    assert {name: options[name][1] for name in decays} == decays
    huge = Detector(32)
    lr, decay = options_by_name(huge, optimizer_of(huge, 0.9))['backbone.pos_embed']
    assert (lr / BASE_LR, decay) == (pytest.approx(0.0309, abs=5e-5), 0.1)


def test_groups_are_few():
    """One for each depth and weight decay, so that the optimizer updates many parameters at once."""
    model = Detector(12)
    assert len(optimizer_of(model, 0.7, EXCEPTIONS).param_groups) == 2 + 2 * 12 + 1


def test_a_step_moves_lower_layers_less():
    model = Detector(4)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = optimizer_of(model, 0.5, optimizer={'type': 'SGD', 'lr': 1.0})
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, moved in (('pos_embed', 0.5**5), ('blocks.2.mlp.fc1.weight', 0.25), ('blocks.3.mlp.fc1.weight', 0.5)):
        parameter = dict(model.named_parameters())[f'backbone.{name}']
        torch.testing.assert_close(before[f'backbone.{name}'] - parameter, torch.full_like(parameter, moved))


def test_wrapped_model():
    model = Detector(4)
    optimizer = optimizer_of(nn.DataParallel(model), 0.5)
    assert options_by_name(model, optimizer)['backbone.pos_embed'][0] == pytest.approx(BASE_LR * 0.5**5)


def test_a_backbone_alone():
    model = Detector(4).backbone
    assert options_by_name(model, optimizer_of(model, 0.5))['blocks.3.attn.proj.bias'][0] == pytest.approx(5e-5)


def test_a_wrapper_speaks_for_the_backbone_it_holds():
    class Adapter(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = Detector(4).backbone
            self.extra = nn.Linear(2, 2)

        def get_layer_depth(self, name, prefix=''):
            return (0, 3) if name.removeprefix(prefix).startswith('vit') else (2, 3)

    model = nn.ModuleDict({'backbone': Adapter(), 'head': nn.Linear(2, 2)})
    options = options_by_name(model, optimizer_of(model, 0.5))
    assert options['backbone.vit.blocks.3.mlp.fc1.weight'][0] == pytest.approx(BASE_LR / 4)
    assert options['backbone.extra.weight'][0] == options['head.bias'][0] == BASE_LR


def test_two_backbones_keep_their_own_depths():
    model = nn.ModuleDict({'teacher': Detector(2).backbone, 'student': Detector(4).backbone})
    options = options_by_name(model, optimizer_of(model, 0.5))
    assert options['teacher.pos_embed'][0] == pytest.approx(BASE_LR * 0.5**3)
    assert options['student.pos_embed'][0] == pytest.approx(BASE_LR * 0.5**5)


def test_other_options_multiply():
    model = Detector(4)
    keys = {'custom_keys': {'neck': {'lr_mult': 10.0}, 'blocks.3.attn': {'lr_mult': 2.0, 'decay_mult': 0.5}}}
    options = options_by_name(model, optimizer_of(model, 0.5, keys))
    assert options['neck.lateral_convs.0.0.weight'] == pytest.approx((BASE_LR * 10, WEIGHT_DECAY))
    assert options['backbone.blocks.3.attn.proj.weight'] == pytest.approx((BASE_LR, WEIGHT_DECAY / 2))


def test_parts_of_a_head_at_the_lowest_rate():
    """Two blocks make depths 0 to 3; what has one dimension is not decayed, position tables are."""
    model = Detector(2)
    options = options_by_name(
        model, optimizer_of(model, 0.5, {'flat_decay_mult': 0.0, 'lowest_rate_names': ['roi_head.fc']})
    )
    expected = {
        'backbone.pos_embed': (BASE_LR / 8, WEIGHT_DECAY),
        'backbone.patch_embed.proj.bias': (BASE_LR / 8, 0.0),
        'backbone.blocks.0.attn.rel_pos_h': (BASE_LR / 4, WEIGHT_DECAY),
        'backbone.blocks.1.norm1.weight': (BASE_LR / 2, 0.0),
        'roi_head.conv.weight': (BASE_LR, WEIGHT_DECAY),
        'roi_head.ln.weight': (BASE_LR, 0.0),
        'roi_head.fc.weight': (BASE_LR / 8, WEIGHT_DECAY),
        'roi_head.fc.bias': (BASE_LR / 8, 0.0),
    }
    assert {name: options[name] for name in expected} == expected


def test_a_name_of_no_parameter():
    with pytest.raises(ValueError, match=r"must begin names of parameters of Detector, got \['query_embed'\]"):
        optimizer_of(Detector(2), 0.5, {'lowest_rate_names': ['roi_head.fc', 'query_embed']})


def test_frozen_parameters_do_not_move():
    model = Detector(4, frozen_stages=1)
    optimizer = optimizer_of(model, 0.5, EXCEPTIONS)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    maps = model.backbone(torch.randn(1, 3, 64, 64))
    sum(level.sum() for level in model.neck(maps)).backward()
    optimizer.step()
    assert any(name.startswith('backbone.blocks.0') for name in before)
    assert all(torch.equal(dict(model.named_parameters())[name], value) for name, value in before.items())


def test_a_frozen_backbone_leaves_the_rest_at_the_full_rate():
    model = Detector(4, frozen_stages='all')
    groups = optimizer_of(model, 0.5, EXCEPTIONS).param_groups
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for group in groups for p in group['params']} == trained
    assert not any(name.startswith('backbone.') for name, p in model.named_parameters() if p.requires_grad)
    assert {group['lr'] for group in groups} == {BASE_LR}


def test_within_the_scope_of_mmdet():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = Detector(2)
        assert len(options_by_name(model, optimizer_of(model, 0.5))) == len(list(model.parameters()))


@pytest.mark.parametrize('rate', [None, 0, -0.5, 1.5])
def test_a_rate_out_of_range(rate):
    config = {'optimizer': {'type': 'SGD', 'lr': 1.0}}
    with pytest.raises(ValueError, match=rf'layer_decay_rate=.* above 0 and at most 1, got {rate}'):
        LayerDecayOptimWrapperConstructor(config, {'layer_decay_rate': rate})
    with pytest.raises(ValueError, match='got None'):
        LayerDecayOptimWrapperConstructor(config)


def test_a_model_without_depths():
    with pytest.raises(ValueError, match=r'get_layer_depth\(name, prefix\); Linear has none'):
        optimizer_of(nn.Linear(2, 2), 0.5)
