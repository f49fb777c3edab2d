"""Image towers of SigLIP 2, AIMv2 and OpenVision: their weights give the features of timm's and transformers' models.

Each oracle is tiny, every parameter drawn anew, and compared at its own size, at a larger one and at oblong ones.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.layers import sincos_position_table
from tests.fidelity.agreement import redraw
from tests.fidelity.pretraining import compare, rename, timm_vit

SIZES = [(32, 32), (64, 64), (40, 56), (16, 72)]
SIGLIP = {'hidden_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 4, 'intermediate_size': 48, 'patch_size': 8}
each_size = pytest.mark.parametrize('size', SIZES)


def rows_of_patches(image, patch=8):
    """B x C x H x W to B x h*w x (patch*patch*C), the colours of a pixel side by side."""
    patches = image.unfold(2, patch, patch).unfold(3, patch, patch)
    return patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


class TestSiglip2:
    @pytest.fixture(scope='class')
    def naflex(self):
        transformers = pytest.importorskip('transformers')
        config = transformers.Siglip2VisionConfig(**SIGLIP, num_patches=16, vision_use_head=False)
        return redraw(transformers.Siglip2VisionModel(config)).eval()

    def run(self, oracle, image):
        height, width = (side // 8 for side in image.shape[2:])
        shapes = torch.tensor([[height, width]]).expand(len(image), -1)
        mask = torch.ones(len(image), height * width)
        return oracle(rows_of_patches(image), mask, shapes).last_hidden_state

    @each_size
    def test_naflex_in_transformers(self, naflex, size):
        """The table is smoothed where an axis shrinks."""
        weights = {**naflex.state_dict(), 'head.probe': torch.zeros(1, 1, 32)}
        weights = {f'vision_model.{name}': x for name, x in weights.items()}
        run = partial(self.run, naflex)
        name = 'transformers SigLIP 2 NaFlex'
        model = compare(run, weights, name, size, ['head.probe'], num_heads=4)
        assert model.pos_resize == {'mode': 'bilinear', 'antialias': True}
        if size == (16, 72):
            with pytest.raises(AssertionError, match='patch features: off by'):
                compare(run, weights, name, size, ['head.probe'], num_heads=4, pos_resize={'mode': 'bilinear'})

    def test_the_colours_of_a_pixel_stand_side_by_side(self, naflex):
        weights = dict(naflex.state_dict())
        kernel = weights['embeddings.patch_embedding.weight']
        weights['embeddings.patch_embedding.weight'] = kernel.unflatten(1, (3, 8, 8)).permute(0, 2, 3, 1).flatten(1)
        with pytest.raises(AssertionError, match='patch features: off by'):
            compare(partial(self.run, naflex), weights, 'transformers SigLIP 2 NaFlex', (32, 32), num_heads=4)

    @each_size
    @pytest.mark.parametrize('own', [False, True])
    def test_naflex_in_timm(self, size, own):
        """SigLIP 2, and timm's own with registers, LayerScale and its own rule of resizing."""
        module = pytest.importorskip('timm.models.naflexvit')
        options = {'patch_size': 8, 'embed_dim': 192, 'depth': 2, 'num_heads': 3, 'pos_embed_grid_size': (4, 4)}
        if own:
            options |= {'reg_tokens': 2, 'init_values': 1.0, 'global_pool': 'avg', 'fc_norm': True}
        else:
            options |= {'act_layer': 'gelu_tanh', 'pos_embed_interp_mode': 'bilinear', 'global_pool': 'map'}
        oracle = redraw(module.NaFlexVit(module.NaFlexVitCfg(**options), num_classes=0)).eval()
        weights = {f'visual.trunk.{name}': x for name, x in oracle.state_dict().items()}
        pool = [name for name in oracle.state_dict() if name.startswith('attn_pool.')]

        def run(image):
            found = oracle.forward_features(image)
            found = found['patches'] if isinstance(found, dict) else found
            return oracle.fc_norm(found) if own else found

        compare(run, weights, 'timm NaFlex', size, pool)

    def test_fixed_sizes(self):
        """As SigLIP: what timm computes with the activation of the training code."""
        oracle = timm_vit(class_token=False, global_pool='', act_layer='gelu_tanh')
        model = compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', (32, 32), act='gelu_tanh')
        assert model.num_prefix_tokens == 0


AIM = {**SIGLIP, 'hidden_size': 256, 'num_attention_heads': 2, 'image_size': 32, 'use_head': False}
SMOOTH = {'pos_resize': {'antialias': True}}


class TestAimv2:
    """Its norms are no layer norms, and no layer of its blocks has a bias."""

    @pytest.mark.parametrize('two_towers', [False, True])
    def test_fixed_size_in_transformers(self, two_towers):
        transformers = pytest.importorskip('transformers')
        oracle = redraw(transformers.Aimv2VisionModel(transformers.Aimv2VisionConfig(**AIM))).eval()
        weights = oracle.state_dict()
        if two_towers:
            weights = {f'vision_model.{name}': x for name, x in weights.items()}
            weights['text_model.embeddings.token_embedding.weight'] = torch.zeros(1)
        run = lambda image: oracle(image).last_hidden_state  # noqa: E731
        model = compare(run, weights, 'transformers AIMv2', (32, 32), **SMOOTH)
        assert model.num_heads == 2

    @each_size
    def test_any_size_in_transformers(self, size):
        """Its 'native' weights have no table."""
        transformers = pytest.importorskip('transformers')
        config = transformers.Aimv2VisionConfig(**AIM, is_native=True)
        oracle = redraw(transformers.Aimv2VisionModel(config)).eval()
        run = lambda image: oracle(image).last_hidden_state  # noqa: E731
        compare(run, oracle.state_dict(), 'transformers AIMv2', size)

    @each_size
    def test_in_timm(self, size):
        layers = pytest.importorskip('timm.layers')
        options = {'embed_dim': 256, 'num_heads': 2, 'class_token': False, 'fc_norm': False, 'global_pool': ''}
        options |= {'qkv_bias': False, 'proj_bias': False, 'act_layer': 'silu', 'mlp_ratio': 2.0}
        options |= {'norm_layer': partial(layers.RmsNorm, eps=1e-5), 'mlp_layer': layers.SwiGLU}
        options['embed_norm_layer'] = options['norm_layer']
        oracle = timm_vit(**options)
        model = compare(oracle.forward_features, oracle.state_dict(), 'AIMv2', size, **SMOOTH)
        assert model.norm.eps == 1e-5
        assert isinstance(model.norm, nn.LayerNorm)  # for rules of optimisers
        assert model.norm.bias is None


class TestOpenVision:
    def weights(self, oracle):
        names = (
            ('^cls_token$', 'class_embedding'),
            ('^pos_embed$', 'positional_embedding'),
            (r'^patch_embed\.proj\.', 'conv1.'),
            (r'^norm\.', 'ln_post.'),
            (r'^blocks\.', 'transformer.resblocks.'),
            (r'\.norm([12])\.', r'.ln_\1.'),
            (r'attn\.qkv\.', 'attn.in_proj_'),
            (r'attn\.proj\.', 'attn.out_proj.'),
            (r'mlp\.fc1\.', 'mlp.c_fc.'),
            (r'mlp\.fc2\.', 'mlp.c_proj.'),
        )
        weights = rename(oracle.state_dict(), *names)
        weights.update(positional_embedding=weights['positional_embedding'][0], proj=torch.zeros(192, 8))
        del weights['conv1.bias']
        return {f'visual.{name}': x for name, x in weights.items()}

    def oracle(self, size):
        """The same weights with the table of one size, as the training has it at each."""
        model = timm_vit(img_size=size)
        others = {name: x for name, x in timm_vit().state_dict().items() if name != 'pos_embed'}
        model.load_state_dict(others, strict=False)
        table = sincos_position_table((size[0] // 8, size[1] // 8), 192, 'sincos_bv')
        with torch.no_grad():
            model.pos_embed.copy_(torch.cat([torch.zeros(1, 1, 192), table], dim=1))
            model.patch_embed.proj.bias.zero_()
        return model

    @each_size
    def test_positions_are_computed_at_each_size(self, size):
        weights = self.weights(self.oracle((32, 32)))
        model = compare(self.oracle(size).forward_features, weights, 'OpenVision', size, ['proj'])
        assert model.sincos.kind == 'sincos_bv'

    def test_positions_are_those_of_the_file(self):
        """As the port to PyTorch has them."""
        oracle = self.oracle((32, 32))
        options = {'pos_embed': 'absolute', **SMOOTH}
        compare(oracle.forward_features, self.weights(oracle), 'OpenVision', (40, 56), ['proj'], **options)

    def test_a_table_that_was_learned(self):
        oracle = self.oracle((32, 32))
        redraw(oracle)
        with torch.no_grad():
            oracle.patch_embed.proj.bias.zero_()
        model = compare(oracle.forward_features, self.weights(oracle), 'OpenVision', (40, 56), ['proj'])
        assert model.pos_embed is not None
