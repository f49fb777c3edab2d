"""Weights of the ViTs of mmpretrain and mmsegmentation give their features in `PlainViT`."""

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
    name = form.name
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
            # mmpretrain has QuickGELU where the config asks for it, and smooths no positions.
            ours = {'act': 'gelu', 'pos_resize': None}
        elif kind == 'dinov2':
            options, ours = {'layer_scale_init_value': 0.1}, {'pos_resize': None}
        elif kind == 'dinov2-g':
            options = {'layer_scale_init_value': 0.1, 'layer_cfgs': {'ffn_type': 'swiglu_fused'}}
            ours = {'pos_resize': None}
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

    @pytest.mark.parametrize('size', IMAGES)
    @pytest.mark.parametrize('with_norm', [False, True])
    def test_eva02(self, backbones, size, with_norm):
        """With EVA-02's angles in the tables of the oracle, as published files have them; its own are others."""
        oracle = backbones.ViTEVA02(
            ARCH, img_size=40, patch_size=8, sub_ln=with_norm, out_type='featmap', interpolate_mode='bicubic'
        )
        redraw(oracle).eval()
        for name, table in oracle.named_buffers():
            if name.endswith(('freqs_cos', 'freqs_sin')):
                angles = _eva02_angles(size[0] // 8, size[1] // 8, table.shape[-1])
                owner = oracle.get_submodule(name.rpartition('.')[0])
                setattr(owner, name.rpartition('.')[2], angles.cos() if name.endswith('cos') else angles.sin())
        oracle.rope.patch_resolution = (size[0] // 8, size[1] // 8)  # for it not to compute others
        weights = oracle.state_dict()
        form = detect(weights)
        name = form.name
        assert name == 'mmpretrain EVA-02'
        ours = redraw(PlainViT(**form.options(weights)), seed=1).eval()
        assert ours.num_heads == 4
        kept, report = fit_to_vit(form.convert(weights), ours)
        assert not report.missing
        assert not report.left_over
        ours.load_state_dict(kept)
        image = torch.randn(2, 3, *size)
        with torch.no_grad():
            assert_within(ours(image)[0], oracle(image)[-1], OUTPUTS, 'patches')


def _eva02_angles(height, width, head_dims):
    """Angles of neighbouring pairs of channels, rows in the first half, coordinates scaled to 16 (EVA-02)."""
    frequency = 1e4 ** (-torch.arange(0, head_dims // 2, 2) / (head_dims / 2))
    rows = torch.arange(height)[:, None] * 16 / height * frequency
    columns = torch.arange(width)[:, None] * 16 / width * frequency
    pairs = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1).flatten(0, 1)
    return pairs.repeat_interleave(2, dim=-1)


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
