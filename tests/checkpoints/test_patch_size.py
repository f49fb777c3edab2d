"""Patch embeddings for another patch size."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.checkpoints.fit.patch_size import resize_patch_embedding
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import redraw

WEIGHT = torch.randn(6, 3, 7, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('mode', ['pinv', 'bilinear'])
def test_the_same_size(mode):
    assert torch.equal(resize_patch_embedding(WEIGHT, (7, 7), mode), WEIGHT)


@pytest.mark.parametrize('target', [(8, 8), (10, 9), (16, 16)])
def test_a_resized_patch_has_the_same_token(target):
    """Exactly where it grows: the new kernel on the resized patch gives what the old kernel gives on the patch."""
    patch = torch.randn(1, 3, 7, 7)
    larger = F.interpolate(patch, size=target, mode='bicubic', align_corners=False)
    token = (resize_patch_embedding(WEIGHT, target) * larger).sum((1, 2, 3))
    torch.testing.assert_close(token, (WEIGHT * patch).sum((1, 2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('mode', 'antialias'), [('pinv', False), ('pinv_antialias', True)])
@pytest.mark.parametrize('target', [(8, 8), (16, 16), (5, 6)])
def test_timm(target, mode, antialias):
    timm = pytest.importorskip('timm.layers.patch_embed')
    expected = timm.resample_patch_embed(WEIGHT, list(target), antialias=antialias)
    torch.testing.assert_close(resize_patch_embedding(WEIGHT, target, mode), expected, rtol=1e-4, atol=1e-4)


def test_bilinear():
    expected = F.interpolate(WEIGHT, size=(9, 9), mode='bilinear')
    assert torch.equal(resize_patch_embedding(WEIGHT, (9, 9), 'bilinear'), expected)


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"one of \('pinv', 'pinv_antialias', 'bilinear'\), got 'cubic'"):
        resize_patch_embedding(WEIGHT, (8, 8), 'cubic')


@pytest.mark.parametrize('mode', ['pinv', 'bilinear'])
def test_weights_of_a_config(tmp_path, mode):
    """The grid of the positions stays: the image of the pre-training grows with the patch."""
    sizes = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24}
    source = redraw(PlainViT(**sizes, patch_size=7, img_size=28))
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth'), 'patch_resize': mode}
    model = PlainViT(**sizes, patch_size=8, img_size=32, init_cfg=init_cfg)
    model.init_weights()
    expected = resize_patch_embedding(source.patch_embed.proj.weight, (8, 8), mode)
    assert torch.equal(model.patch_embed.proj.weight, expected)
    assert torch.equal(model.pos_embed, source.pos_embed)
