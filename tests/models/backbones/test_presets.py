"""Presets: sizes of the published models, and arguments that win over them."""

import inspect

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS

from mmvitdense.checkpoints import detect, fit_to_vit
from mmvitdense.models import PlainViT
from mmvitdense.models.backbones.presets import preset_options
from mmvitdense.pretrainings import PRESETS
from tests.models.backbones.small_presets import small_presets

# Names in timm of models of the same pre-training; their shapes are the oracle.
TIMM = {
    'mae-base': 'vit_base_patch16_224',
    'mae-huge': 'vit_huge_patch14_224',
    'deit-tiny': 'deit_tiny_patch16_224',
    'deit3-base': 'deit3_base_patch16_224',
    'deit3-huge': 'deit3_huge_patch14_224',
    'augreg-large': 'vit_large_patch16_224',
    'beit-base': 'beit_base_patch16_224',
    'beitv2-large': 'beitv2_large_patch16_224',
    'dinov2-base': 'vit_base_patch14_dinov2',
    'dinov2-giant': 'vit_giant_patch14_dinov2',
    'dinov2-reg-large': 'vit_large_patch14_reg4_dinov2',
    'dinov2-reg-giant': 'vit_giant_patch14_reg4_dinov2',
    'tips-base': 'vit_base_patch14_reg1_tipsv2',
    'tips-so400m': 'vit_so400m_patch14_reg1_tipsv2',
    'dinov3-base': 'vit_base_patch16_dinov3_qkvb',
    'dinov3-large': 'vit_large_patch16_dinov3_qkvb',
    'dinov3-huge-plus': 'vit_huge_plus_patch16_dinov3_qkvb',
    'dinov3-7b': 'vit_7b_patch16_dinov3',
    'lingbot-vision-small': 'vit_small_patch16_lingbot',
    'lingbot-vision-giant': 'vit_giant_patch16_lingbot',
    'c-radiov3-giant': 'naflexvit_giant_patch16_radio_v3',
    'c-radiov4-so400m': 'naflexvit_so400m_patch16_radio_v4',
    'pe-core-small': 'vit_pe_core_small_patch16_384',
    'pe-lang-large': 'vit_pe_lang_large_patch14_448',
    'pe-spatial-gigantic': 'vit_pe_spatial_gigantic_patch14_448',
    'sam-base': 'samvit_base_patch16',
    'sam-large': 'samvit_large_patch16',
    'sam-huge': 'samvit_huge_patch16',
    'clip-base-patch16': 'vit_base_patch16_clip_224',
    'clip-base-patch32': 'vit_base_patch32_clip_224',
    'clip-large-patch14': 'vit_large_patch14_clip_224',
    'clip-large-patch14-336': 'vit_large_patch14_clip_336',
    'openclip-huge-patch14': 'vit_huge_patch14_clip_224',
    'openclip-gigantic-patch14': 'vit_gigantic_patch14_clip_224',
    'siglip-base-patch16': 'vit_base_patch16_siglip_224',
    'siglip-large-patch16': 'vit_large_patch16_siglip_256',
    'siglip-so400m-patch14': 'vit_so400m_patch14_siglip_384',
    'siglip2-giant-patch16-384': 'vit_giantopt_patch16_siglip_384',
    'siglip2-naflex-base-patch16': 'naflexvit_base_patch16_siglip',
    'aimv2-large': 'aimv2_large_patch14_224',
    'eva02-tiny': 'eva02_tiny_patch14_224',
    'eva02-base': 'eva02_base_patch14_224',
    'eva02-large': 'eva02_large_patch14_224',
}
TINY = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 48}


def build(preset, **options):
    with torch.device('meta'):
        return PlainViT(preset=preset, **options)


@pytest.mark.parametrize('preset', small_presets(**TINY))
def test_in_small(preset):
    """Its options fit together and compute something, at a size that is not that of the pre-training."""
    model = PlainViT(preset=preset, **TINY).eval()
    side = model.patch_size
    with torch.no_grad():
        (map_,) = model(torch.randn(1, model.in_channels, 3 * side, 2 * side))
    assert map_.shape == (1, 32, 3, 2)
    assert map_.isfinite().all()


@pytest.mark.parametrize(('preset', 'name'), TIMM.items(), ids=list(TIMM))
def test_shapes_of_timm(preset, name, monkeypatch):
    """Every weight of the published size has its place, none is missing and no table is resized."""
    # Of the initial weights of timm, whose numbers are nowhere: finding out their shape takes two thirds of the time.
    monkeypatch.setattr(torch.Tensor, 'clamp_', lambda tensor, *_, **__: tensor)
    timm = pytest.importorskip('timm')
    if not timm.is_model(name):
        pytest.skip(f'this timm has no {name}')
    with torch.device('meta'):
        weights = timm.create_model(name, num_classes=0).state_dict()
    # timm gives SAM no norm at the end, and others where the table says nothing.
    last = None if preset.startswith('sam') else 'last'
    model = build(preset, final_norm=PRESETS[preset].get('final_norm', last))
    kept, report = fit_to_vit(detect(weights).convert(weights), model)
    assert report.missing == []
    assert report.resized == []
    assert {name for name in report.left_over if name.startswith(('blocks', 'pos_embed', 'cls', 'reg'))} == set()
    assert {n: tuple(x.shape) for n, x in kept.items()} == {n: tuple(x.shape) for n, x in model.state_dict().items()}


class TestGivenArguments:
    def test_they_win(self):
        model = build('dinov2-base', num_layers=3, with_cls_token=False, norm_eps=1e-5, final_norm=None)
        assert (model.embed_dims, model.num_layers, model.cls_token, model.final_norm) == (768, 3, None, None)
        assert model.blocks[0].norm1.eps == 1e-5
        assert model.blocks[0].ls1.gamma.shape == (768,)

    @pytest.mark.parametrize('by_position', [True, False])
    def test_arch_replaces_the_sizes(self, by_position):
        with torch.device('meta'):
            if by_position:
                model = PlainViT('small', preset='dinov2-giant', ffn='mlp')
            else:
                model = PlainViT(arch='small', preset='dinov2-giant', ffn='mlp')
        assert (model.embed_dims, model.num_layers, model.num_heads) == (384, 12, 6)

    def test_another_patch_keeps_the_grid_of_the_positions(self):
        assert preset_options('dinov2-base', {'patch_size': 16})['pretrain_img_size'] == 592
        assert build('dinov2-base', patch_size=16).pos_grid == (37, 37)
        assert build('dinov2-base', patch_size=16, pretrain_img_size=224).pos_grid == (14, 14)

    def test_the_table_is_not_changed(self):
        before = repr(PRESETS)
        build('dinov3-small', rope={'kind': 'dinov3', 'base': 50.0})
        assert repr(PRESETS) == before


def test_by_a_config():
    model = ROOT_MODELS.build({'type': 'mmvitdense.PlainViT', 'preset': 'deit3-small', 'num_layers': 1})
    assert model.embed_dims == 384
    assert not model.pos_embed_cls_slot


def test_unknown():
    with pytest.raises(ValueError, match=r"preset must be one of mae-base, .*, got 'dinov4'"):
        PlainViT(preset='dinov4')


def test_the_signature_tells():
    names = list(inspect.signature(PlainViT).parameters)
    assert names[:3] == ['arch', 'preset', 'embed_dims']
