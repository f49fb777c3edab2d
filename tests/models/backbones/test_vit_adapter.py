"""ViTAdapter: the suite of backbones, and what is particular to it."""

import torch
from torch import nn

from mmvitdense.models import ViTAdapter
from mmvitdense.models.backbones.adapters import Sampling, TokenLevels
from tests.fidelity.agreement import redraw
from tests.models.backbones.adapters import VIT, AdapterSuite

FROZEN = {
    **VIT,
    'pos_embed': None,
    'pos_embed_cls_slot': None,
    'rope': {'kind': 'dinov3', 'rescale': 2.0},
    'num_registers': 2,
    'with_cls_token': True,
    'final_norm': 'all',
}


class TestViTAdapter(AdapterSuite):
    model_class = ViTAdapter
    variants = {
        'detection': {'vit': {**VIT, 'window_size': 3, 'global_blocks': (1, 3), 'window_pad': 'qkv'}},
        'segmentation': {'vit': VIT, 'vit_feature': 'stagewise', 'deform_ratio': 0.5},
        'beit-segmentation': {
            'vit': {**VIT, 'pos_embed': None, 'qkv_bias': 'qv', 'rel_pos': 'bias', 'with_cls_token': True},
            'vit_feature': 'stagewise',
            'gamma_init': 1e-6,
        },
        'extractors-alone': {'vit': FROZEN, 'vit_feature': 'stagewise', 'use_injector': False},
        'light': {
            'vit': VIT,
            'interaction_indexes': [[0, 3]],
            'cffn_ratio': None,
            'num_extra_extractors': 0,
            'vit_feature': None,
        },
    }
    common = {'deform_num_heads': 2, 'conv_inplane': 8}
    compiled = {
        'one-stage': {
            'vit': {**variants['detection']['vit'], 'num_layers': 2, 'global_blocks': (1,)},
            'interaction_indexes': [[0, 1]],
            'num_extra_extractors': 1,
        },
        'extractors-alone': {**variants['extractors-alone'], 'num_extra_extractors': 0, 'cffn_ratio': None},
        'light': {**variants['light'], 'vit': {**VIT, 'num_layers': 1}, 'interaction_indexes': [[0, 0]]},
    }
    exported = {'light': compiled['light']}


def test_without_gain_the_vit_is_untouched():
    model = ViTAdapter(VIT, deform_num_heads=2, conv_inplane=4, out_vit_map=True).eval()
    image = torch.randn(1, 3, 64, 96)
    assert torch.equal(model(image)[0], model.vit(image)[0])


def test_zero_attention_and_network_are_the_identity():
    """Unlike in ViT-CoMer, tokens go on as they are."""
    extractor = redraw(ViTAdapter(VIT, deform_num_heads=2, conv_inplane=4)).interactions[0].extractor
    for layer in (extractor.attn.output_proj, extractor.ffn.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    levels = TokenLevels([(4, 6), (2, 3), (1, 2)], torch.device('cpu'))
    conv = torch.randn(2, 32, 32)
    sampling = Sampling(levels.centres, levels.grids[1:2])
    assert torch.equal(extractor(conv, torch.randn(2, 6, 32), levels, sampling), conv)


def test_a_frozen_vit_learns_nothing_and_does_not_augment():
    """The adapter of DINOv3: no gradients in the ViT, and its random rescaling of positions is off."""
    options = {'vit': {**FROZEN, 'frozen_stages': 4, 'drop_path_rate': 0.5}, 'use_injector': False}
    model = redraw(ViTAdapter(**options, vit_feature='stagewise', deform_num_heads=2, conv_inplane=4)).train()
    image = torch.randn(2, 3, 64, 64)
    sum(level.square().sum() for level in model(image)).backward()
    assert all(not p.requires_grad and p.grad is None for p in model.vit.parameters())
    assert not any(
        module.training for name, module in model.vit.named_modules() if name.startswith(('blocks.', 'rope', 'norm'))
    )
    first, second = model.vit(image), model.vit(image)
    assert torch.equal(first[0], second[0])
    others = {name for name, p in model.named_parameters() if p.requires_grad and not (p.grad is not None)}
    assert not others


def test_a_norm_that_is_trained_alone_in_evaluation():
    """Statistics are folded into the sum that is normed where nothing before it is trained; gains are not."""
    model = redraw(ViTAdapter(VIT, deform_num_heads=2, conv_inplane=4)).eval().requires_grad_(False)
    model.norm2.requires_grad_(True)
    outputs = model(torch.randn(2, 3, 64, 64))
    outputs[1].square().sum().backward()
    normed = (outputs[1].detach() - model.norm2.bias[:, None, None]) / model.norm2.weight[:, None, None]
    expected = (2 * outputs[1].detach() * normed).sum((0, 2, 3))
    torch.testing.assert_close(model.norm2.weight.grad, expected, rtol=1e-3, atol=1e-3)
