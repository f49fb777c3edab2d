"""Weights of the ViTs of mmpretrain and mmsegmentation give their features in ``PlainViT``."""

from __future__ import annotations

import pytest
import torch

import mmvitdense  # noqa: F401  (what mmpretrain needs to be imported)
from mmvitdense.checkpoints import detect, fit_to_vit
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

ARCH = {'embed_dims': 32, 'num_layers': 3, 'num_heads': 4, 'feedforward_channels': 48}
IMAGES = [(40, 40), (64, 48), (24, 56)]


def compare(oracle, size, left_over=(), prefix='', **options):
    redraw(oracle).eval()
    weights = {f'{prefix}{name}': tensor for name, tensor in oracle.state_dict().items()}
    form = detect(weights)
    name = form.NAME
    assert name == 'mmpretrain or mmsegmentation ViT'
    ours = redraw(PlainViT(**form.options(weights, num_heads=4, **options)), seed=1).eval()
    kept, report = fit_to_vit(form.convert(weights), ours)
    assert not report.missing
    assert {name.split('.')[0] for name in report.left_over} == set(left_over)
    ours.load_state_dict(kept)
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert_within(ours(image)[0], oracle(image)[-1], OUTPUTS, 'patches')


class TestMmpretrain:
    @pytest.fixture
    def backbones(self):
        return pytest.importorskip('mmpretrain.models.backbones', exc_type=ImportError)

    @pytest.mark.parametrize('size', IMAGES)
    @pytest.mark.parametrize('kind', ['plain', 'clip', 'dinov2', 'dinov2-g'])
    def test_vit(self, backbones, size, kind):
        options, ours = {}, {}
        if kind == 'clip':
            options = {'pre_norm': True, 'norm_cfg': {'type': 'LN', 'eps': 1e-5}}
            ours = {'act': 'gelu'}  # mmpretrain has QuickGELU where the config asks for it
        elif kind == 'dinov2':
            options = {'layer_scale_init_value': 0.1}
        elif kind == 'dinov2-g':
            options = {'layer_scale_init_value': 0.1, 'layer_cfgs': {'ffn_type': 'swiglu_fused'}}
        oracle = backbones.VisionTransformer(ARCH, img_size=40, patch_size=8, out_type='featmap', **options)
        compare(oracle, size, prefix='backbone.', **ours)

    def test_sam(self, backbones):
        oracle = backbones.ViTSAM(
            {**ARCH, 'global_attn_indexes': [1]},
            img_size=40,
            patch_size=8,
            window_size=3,
            out_channels=0,
            out_type='featmap',
        )
        compare(oracle, (40, 40))

    @pytest.mark.parametrize('shared', [False, True])
    def test_beit(self, backbones, shared):
        """At the grid of the table: at others mmpretrain has another rule than BEiT."""
        options = {'use_rel_pos_bias': not shared, 'use_shared_rel_pos_bias': shared}
        oracle = backbones.BEiTViT(ARCH, img_size=40, patch_size=8, out_type='featmap', **options)
        compare(oracle, (40, 40))


class TestMmsegmentation:
    @pytest.fixture
    def backbones(self):
        return pytest.importorskip('mmseg.models.backbones')

    OPTIONS = {
        'img_size': 40,
        'patch_size': 8,
        'embed_dims': 32,
        'num_layers': 3,
        'num_heads': 4,
        'mlp_ratio': 2,
        'norm_cfg': {'type': 'LN', 'eps': 1e-6},
    }

    @pytest.mark.parametrize('size', IMAGES)
    def test_vit(self, backbones, size):
        """Its patch embedding has a bias where the config asks for it."""
        oracle = backbones.VisionTransformer(**self.OPTIONS, patch_bias=True, interpolate_mode='bicubic')
        compare(oracle, size, prefix='backbone.')

    @pytest.mark.parametrize('kind', ['BEiT', 'MAE'])
    def test_relative_positions(self, backbones, kind):
        oracle = getattr(backbones, kind)(**self.OPTIONS, init_values=0.1)
        compare(oracle, (40, 40))
