"""ViTCoMer: the suite of backbones, and what is particular to it."""

import copy

import pytest
import torch
from torch import nn

from mmvitdense.models import PlainViT, ViTCoMer
from tests.fidelity.agreement import assert_within, redraw
from tests.models.backbones.adapters import VIT, AdapterSuite
from tests.models.suite import snapshot


class TestViTCoMer(AdapterSuite):
    model_class = ViTCoMer
    variants = {
        'detection': {'vit': {**VIT, 'window_size': 3, 'global_blocks': (1, 3), 'window_pad': 'qkv'}},
        'segmentation': {'vit': VIT, 'vit_feature': 'stagewise', 'mrfp_ratio': 1.5, 'num_extra_cti': 1},
        'prefix-tokens-of-dinov2': {
            'vit': {**VIT, 'with_cls_token': True, 'num_registers': 1, 'final_norm': 'all'},
            'interaction_indexes': [[0, 0], [1, 3]],
        },
        'beit': {
            'vit': {**VIT, 'pos_embed': None, 'qkv_bias': 'qv', 'rel_pos': 'bias', 'window_size': 3},
            'gamma_init': 1e-6,
            'out_vit_map': True,
        },
        'least': {
            'vit': VIT,
            'cnn_feature_interaction': False,
            'use_cti_tov': (True, False, True, True),
            'use_cti_toc': (True, True, False, True),
            'num_extra_cti': 1,
            'cffn_ratio': None,
            'vit_feature': None,
        },
    }
    common = {'deform_num_heads': 2, 'conv_inplane': 8}
    traced_backward = True
    compiled = {
        'one-stage': {
            **variants['beit'],
            'vit': {**variants['beit']['vit'], 'num_layers': 2, 'global_blocks': (1,)},
            'interaction_indexes': [[0, 1]],
            'num_extra_cti': 1,
        },
        'stagewise': {
            'vit': VIT,
            'vit_feature': 'stagewise',
            'num_extra_cti': 0,
            'cffn_ratio': None,
            'cnn_feature_interaction': False,
            'mrfp_ratio': 1.5,
            'use_cti_tov': (True, False, False, False),
            'use_cti_toc': (False, False, False, True),
        },
        'no-map': {
            'vit': {**VIT, 'num_layers': 1},
            'interaction_indexes': [[0, 0]],
            'vit_feature': None,
            'cnn_feature_interaction': False,
            'use_cti_tov': (False,),
            'use_cti_toc': (False,),
            'cffn_ratio': None,
            'num_extra_cti': 1,
        },
    }
    exported = {
        'least': {
            **variants['least'],
            'vit': {**VIT, 'num_layers': 2},
            'interaction_indexes': [[0, 0], [1, 1]],
            'use_cti_tov': (True, False),
            'use_cti_toc': (False, True),
        },
    }

    def test_recomputing_leaves_running_statistics_right(self):
        """A batch norm that runs twice counts once."""
        image = torch.randn(2, 3, 64, 64)
        models = [self.build({'vit': VIT, 'with_cp': with_cp}).train() for with_cp in (False, True)]
        for model in models:
            sum(level.sum() for level in model(image)).backward()
        for (name, plain), recomputed in zip(models[0].named_buffers(), models[1].buffers()):
            torch.testing.assert_close(recomputed, plain, msg=name)

    def test_frozen_batch_norms_stay_frozen_when_recomputed(self):
        """In evaluation mode their statistics are used in the second pass too."""
        image = torch.randn(2, 3, 64, 64)
        grads = []
        for with_cp in (False, True):
            model = self.build({'vit': VIT, 'with_cp': with_cp}).train()
            for layer in model.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
            sum(level.square().sum() for level in model(image)).backward()
            grads.append(model.interactions[0].mrfp.fc1.weight.grad)
        torch.testing.assert_close(*grads)


def test_without_gain_the_vit_is_untouched():
    """At the start the branch adds nothing to the ViT, so the last map is that of the plain ViT."""
    model = ViTCoMer(VIT, deform_num_heads=2, conv_inplane=4, out_vit_map=True).eval()
    image = torch.randn(1, 3, 64, 96)
    assert torch.equal(model(image)[0], model.vit(image)[0])


def test_zero_attention_and_network_leave_the_norm():
    """The residual connection of the branch starts after the outer norm, as released."""
    stage = redraw(ViTCoMer(VIT, deform_num_heads=2, conv_inplane=4)).interactions[0].cti_toc
    for layer in (stage.cfinter.attn.output_proj, stage.cfinter.ffn.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    levels = _levels()
    conv = torch.randn(2, sum(levels.lengths), 32)
    assert torch.equal(stage(torch.zeros(2, 6, 32), conv, levels), stage.query_norm(conv))


def test_mrfp_by_hand():
    """Level by level, pixel by pixel."""
    module = redraw(ViTCoMer(VIT, deform_num_heads=2, conv_inplane=4)).eval().interactions[0].mrfp
    levels = _levels()
    conv = torch.randn(1, sum(levels.lengths), 32)
    hidden = nn.functional.linear(conv, module.fc1.weight, module.fc1.bias)[0]
    mixed, start = [], 0
    for level, (height, width) in enumerate(levels.grids):
        grid = hidden[start : start + height * width].reshape(height, width, -1)
        start += height * width
        result = torch.zeros_like(grid)
        for channel in range(grid.shape[2]):
            wide = channel >= grid.shape[2] // 2
            layer = getattr(module.dwconv, f'dwconv{2 * level + 1 + wide}')
            reach = layer.kernel_size[0] // 2
            kernel, own = layer.weight[channel % layer.out_channels, 0], channel % layer.out_channels
            for y in range(height):
                for x in range(width):
                    total = layer.bias[own]
                    for dy in range(-reach, reach + 1):
                        for dx in range(-reach, reach + 1):
                            if 0 <= y + dy < height and 0 <= x + dx < width:
                                total = total + kernel[dy + reach, dx + reach] * grid[y + dy, x + dx, channel]
                    result[y, x, channel] = total
        norm = getattr(module.dwconv, f'bn{level + 1}')
        result = (result - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        mixed.append(result.flatten(0, 1))
    gelu = nn.functional.gelu
    expected = nn.functional.linear(gelu(gelu(torch.cat(mixed))), module.fc2.weight, module.fc2.bias)
    assert_within(module(conv, levels)[0], expected, 1e-4, 'mrfp')


def test_gradient_of_the_gain_alone_at_the_start():
    """With a gain of zero nothing else of the branch to the ViT learns in the first step."""
    model = ViTCoMer(VIT, deform_num_heads=2, conv_inplane=4)
    sum(level.square().sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    for stage in model.interactions:
        learning = {name for name, p in stage.cti_tov.named_parameters() if p.grad is not None and p.grad.any()}
        assert learning == {'gamma'}


def test_an_odd_width_of_mrfp_is_refused():
    with pytest.raises(ValueError, match='channels inside MRFP must be even, got 33'):
        ViTCoMer(VIT, deform_num_heads=2, mrfp_ratio=33 / 32)


def test_a_module_as_vit():
    vit = redraw(PlainViT(**VIT))
    vit.init_weights()
    before = snapshot(vit)
    model = ViTCoMer(vit, deform_num_heads=2, conv_inplane=4, with_cp=True)
    model.init_weights()
    model(torch.randn(2, 3, 64, 64))
    assert model.vit is vit
    assert snapshot(vit) == before
    assert copy.deepcopy(model).vit is not vit


def _levels():
    from mmvitdense.models.backbones.adapters import TokenLevels

    return TokenLevels([(4, 6), (2, 3), (1, 2)], torch.device('cpu'))
