"""The table of pre-trainings: pixels as timm has them."""

import pytest

from mmvitdense.pretrainings import PRESETS, PRETRAININGS, family_of

# Weights in timm of the same family.
TIMM = {
    'mae': 'vit_base_patch16_224.mae',
    'deit': 'deit_base_patch16_224.fb_in1k',
    'deit3': 'deit3_base_patch16_224.fb_in1k',
    'augreg': 'vit_base_patch16_224.augreg_in21k',
    'dino': 'vit_base_patch16_224.dino',
    'beit': 'beit_base_patch16_224.in22k_ft_in22k',
    'beitv2': 'beitv2_base_patch16_224.in1k_ft_in22k',
    'dinov2': 'vit_base_patch14_dinov2.lvd142m',
    'dinov2-reg': 'vit_base_patch14_reg4_dinov2.lvd142m',
    'tips': 'vit_base_patch14_reg1_tipsv2.webli',
    'dinov3': 'vit_base_patch16_dinov3.lvd1689m',
    'lingbot-vision': 'vit_base_patch16_lingbot.robbyant',
    'c-radiov3': 'naflexvit_base_patch16_radio_v3.c_radio',
    'c-radiov4': 'naflexvit_so400m_patch16_radio_v4.c_radio',
    'pe-core': 'vit_pe_core_base_patch16_224.fb',
    'pe-lang': 'vit_pe_lang_large_patch14_448.fb',
    'pe-spatial': 'vit_pe_spatial_base_patch16_512.fb',
    'sam': 'samvit_base_patch16.sa1b',
    'clip': 'vit_base_patch16_clip_224.openai',
    'openclip': 'vit_base_patch16_clip_224.laion2b',
    'siglip': 'vit_base_patch16_siglip_224.webli',
    'siglip2': 'vit_base_patch16_siglip_224.v2_webli',
    'siglip2-naflex': 'naflexvit_base_patch16_siglip.v2_webli',
    'aimv2': 'aimv2_large_patch14_224.apple_pt',
    'datacomp': 'vit_base_patch16_clip_224.datacompxl',
    'eva02': 'eva02_base_patch14_224.mim_in22k',
}


@pytest.mark.parametrize(('family', 'name'), TIMM.items(), ids=list(TIMM))
def test_pixels(family, name):
    timm = pytest.importorskip('timm')
    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if not known or not known.architecture:
        pytest.skip(f'this timm has no {name}')
    mean, std = PRETRAININGS[family].pixels
    assert mean == pytest.approx([255 * value for value in known.mean], abs=0.01)
    assert std == pytest.approx([255 * value for value in known.std], abs=0.01)


def test_names():
    assert 'dinov2-reg-small' in PRESETS
    assert {preset: family_of(preset) for preset in ('dinov2-reg-small', 'clip-large-patch14-336')} == {
        'dinov2-reg-small': 'dinov2-reg',
        'clip-large-patch14-336': 'clip',
    }
    assert {family_of(preset) for preset in PRESETS} == set(PRETRAININGS)
    assert all(pretraining.checked_against for pretraining in PRETRAININGS.values())
