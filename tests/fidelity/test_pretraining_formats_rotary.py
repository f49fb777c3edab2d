"""Weights of DINOv3 and EVA-02, converted, against timm's models; see `test_pretraining_formats`."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.fidelity.agreement import redraw
from tests.fidelity.pretraining import NORM, SIZES, SMOOTH, TINY, compare, load, rename


def eva(**options):
    module = pytest.importorskip('timm.models.eva')
    options = {'img_size': 32, 'norm_layer': NORM, 'dynamic_img_size': True, 'use_rot_pos_emb': True, **options}
    return redraw(module.Eva(**{**TINY, **options})).eval()


@pytest.mark.parametrize('size', SIZES)
class TestDinov3:
    @staticmethod
    def oracle(**options):
        return eva(
            init_values=1.0,
            rope_type='dinov3',
            rope_temperature=100,
            rope_rotate_half=True,
            use_abs_pos_emb=False,
            num_reg_tokens=4,
            use_fc_norm=False,
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
            **options,
        )

    @staticmethod
    def official(oracle, mask=(1.0, 0.0, 1.0)):
        rules = (
            (r'^reg_token$', 'storage_tokens'),
            (r'gamma_([12])', r'ls\1.gamma'),
            (r'fc1_g', 'w1'),
            (r'fc1_x', 'w2'),
        )
        weights = rename(oracle.state_dict(), *rules)
        if 'blocks.0.mlp.w1.weight' in weights:
            weights = rename(weights, (r'mlp\.fc2', 'mlp.w3'))
        for block in range(2):
            if f'blocks.{block}.attn.q_bias' in weights:
                query, value = (weights.pop(f'blocks.{block}.attn.{part}_bias') for part in 'qv')
                weights[f'blocks.{block}.attn.qkv.bias'] = torch.cat([query, torch.randn(192), value])
                weights[f'blocks.{block}.attn.qkv.bias_mask'] = torch.tensor(mask).repeat_interleave(192)
        weights['rope_embed.periods'] = 100.0 ** (torch.arange(16) / 16)
        return {**weights, 'mask_token': torch.zeros(1, 192)}

    @pytest.mark.parametrize('options', [{}, {'swiglu_mlp': True, 'swiglu_align_to': 8}, {'qkv_bias': False}])
    def test_timm(self, size, options):
        """LingBot-Vision in timm is the same, its giant gated and without biases."""
        oracle = self.oracle(**options)
        compare(oracle.forward_features, oracle.state_dict(), 'DINOv3', size)

    @pytest.mark.parametrize('options', [{}, {'swiglu_mlp': True, 'swiglu_align_to': 8}, {'qkv_bias': False}])
    def test_official(self, size, options):
        oracle = self.oracle(**options)
        compare(oracle.forward_features, self.official(oracle), 'DINOv3', size, ['mask_token'])

    def test_a_mask_that_was_never_filled(self, size):
        oracle = self.oracle()
        compare(oracle.forward_features, self.official(oracle, (torch.nan,) * 3), 'DINOv3', size, ['mask_token'])

    def test_a_mask_of_ones(self, size):
        """Then keys have a bias, which rotary positions do not cancel: timm's keys get it by hand."""
        oracle = self.oracle()
        weights = self.official(oracle, (1.0, 1.0, 1.0))
        for index, block in enumerate(oracle.blocks):
            block.attn.k_bias.copy_(weights[f'blocks.{index}.attn.qkv.bias'].chunk(3)[1])
        model = compare(oracle.forward_features, weights, 'DINOv3', size, ['mask_token'])
        assert not model.blocks[0].attn.without_key_bias

    def test_rounded_periods(self, size):
        """The published files hold bfloat16; the result differs a little from that of timm, which has float32."""
        oracle = self.oracle()
        weights = self.official(oracle)
        weights['rope_embed.periods'] = weights['rope_embed.periods'].bfloat16()
        rounded, _ = load(weights, 'DINOv3')
        image = torch.randn(1, 3, *size)
        expected = rounded(image)[0]
        rounded.rope.periods_dtype = torch.float32
        difference = (rounded(image)[0] - expected).abs().max()
        assert 1e-5 < difference < 0.2 * expected.std()


@pytest.mark.parametrize('size', SIZES)
class TestEva02:
    FUSED = {'mlp_ratio': 4 * 2 / 3, 'swiglu_mlp': True, 'ref_feat_shape': (16, 16)}
    SPLIT = {**FUSED, 'qkv_fused': False, 'scale_mlp': True}
    CLIP = {**SPLIT, 'scale_attn_inner': True, 'global_pool': 'token'}

    @pytest.mark.parametrize('options', [FUSED, SPLIT, CLIP], ids=['fused', 'split', 'clip'])
    def test_timm(self, size, options):
        oracle = eva(**{'global_pool': 'token', **options})
        compare(oracle.forward_features, oracle.state_dict(), 'EVA-02', size, **SMOOTH)

    @pytest.mark.parametrize('options', [FUSED, SPLIT, CLIP], ids=['fused', 'split', 'clip'])
    def test_official(self, size, options):
        oracle = eva(**{'global_pool': 'token', **options})
        weights = rename(
            oracle.state_dict(),
            (r'attn\.([qv])_proj\.bias', r'attn.\1_bias'),
            (r'attn\.norm\.', 'attn.inner_attn_ln.'),
            (r'mlp\.norm\.', 'mlp.ffn_ln.'),
            (r'fc1_g', 'w1'),
            (r'fc1_x', 'w2'),
            (r'mlp\.fc1', 'mlp.w12'),
            (r'mlp\.fc2', 'mlp.w3'),
        )
        weights = {f'visual.{name}': tensor for name, tensor in weights.items()}
        weights.update(
            {'visual.rope.freqs_cos': torch.zeros(256, 64), 'visual.blocks.0.attn.rope.freqs_sin': torch.zeros(256, 64)}
        )
        compare(oracle.forward_features, weights, 'EVA-02', size, **SMOOTH)

    def test_eva_01(self, size):
        oracle = eva(use_rot_pos_emb=False, global_pool='token')
        compare(oracle.forward_features, oracle.state_dict(), 'EVA-02', size, **SMOOTH)
