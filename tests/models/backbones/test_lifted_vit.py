"""The suite of backbones for LiftedViT, what is frozen, weights of LiFT and NAF; fidelity is in `tests/fidelity`."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.models import (
    NAF,
    BilinearUpsampler,
    LiFT,
    LiftedViT,
    LiFTPretraining,
    NAFPretraining,
    PlainViT,
    SimpleFeaturePyramid,
)
from tests.fidelity.agreement import redraw
from tests.models.suite import BackboneSuite, of_variants

from .test_vit_taps import OF_THE_VIT

VIT = {
    'embed_dims': 24,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 48,
    'pretrain_img_size': 32,
    'patch_size': 8,
    'with_cls_token': True,
    'final_norm': 'all',
}
NAF_OPTIONS = {'type': 'mmvitdense.NAF', 'dims': 32, 'img_layers': 1, 'window': 3}
# Of the last block the keys alone are used, and no final norm.
IDLE = {
    *('norm.weight', 'norm.bias'),
    *(
        f'blocks.3.{part}.{kind}'
        for part in ('norm2', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
        for kind in ('weight', 'bias')
    ),
}


class TestLiftedViT(BackboneSuite):
    model_class = LiftedViT
    patch_size = 8
    trunk = 'vit.'
    # LiFT works on maps that are large beside those of so small a ViT.
    kept_when_recomputing = 0.97
    autocast_gradients = 0.9
    variants = {
        'twice': {'vit': VIT, 'num_iters': 2, 'norm': True, 'frozen_lift': False, 'keep_maps': True},
        'keys': {'vit': VIT, 'facet': 'key', 'frozen_lift': False},
        'naf': {'vit': VIT, 'lift': NAF_OPTIONS, 'num_iters': 2, 'norm': True, 'frozen_lift': False},
    }
    compiled = {
        'keys-twice': {'vit': {**VIT, 'num_layers': 2}, 'facet': 'key', 'num_iters': 2, 'frozen_lift': False},
        'naf': {'vit': {**VIT, 'num_layers': 1}, 'lift': NAF_OPTIONS, 'num_iters': 2, 'frozen_lift': False},
    }
    exported = {
        'twice': {**variants['twice'], 'vit': {**VIT, 'num_layers': 1}},
        'naf': compiled['naf'],
    }
    of_tokens = ('twice', 'naf')
    without_gradient = {'keys': {f'vit.{name}' for name in IDLE}}

    def build(self, options):
        """With options of the ViT that the suite gives."""
        of_vit = {name: options[name] for name in OF_THE_VIT if name in options}
        others = {name: value for name, value in options.items() if name not in of_vit}
        return super().build({**others, 'vit': {**options['vit'], **of_vit}})

    @of_variants('of_tokens')
    @pytest.mark.parametrize('stages', [0, 2])
    def test_frozen_stages(self, options, example, stages):
        """Where all of the ViT is used."""
        super().test_frozen_stages(options, example, stages)

    def shapes(self, options, batch, size):
        rows, columns = (-(-side // 8) for side in size)
        last = 2 ** options.get('num_iters', 1)
        scales = (1, 2, 4) if options.get('keep_maps') else (last,)
        return [(batch, 24, scale * rows, scale * columns) for scale in scales]


@pytest.mark.parametrize(('patch', 'passes'), [(8, 3), (16, 3), (14, 2), (4, 1), (32, 1)])
def test_any_patch_and_number_of_passes(patch, passes):
    """Also of those that the released code refuses, on maps that are no squares, into a pyramid."""
    vit = {**VIT, 'patch_size': patch, 'pretrain_img_size': 2 * patch}
    model = redraw(LiftedViT(vit, num_iters=passes)).eval()
    (found,) = model(torch.randn(1, 3, 2 * patch - 3, 3 * patch))
    assert found.shape == (1, 24, 2 * 2**passes, 3 * 2**passes)
    levels = SimpleFeaturePyramid(24, 32, scale_factors=(2, 1, 0.5), num_outs=4)([found])
    assert [level.shape[-1] for level in levels] == [-(-6 * 2**passes // 2**i) for i in range(4)]


def test_one_naf_for_any_vit():
    """Of other widths and patches, in several passes: each is made of the map of the ViT, and the scale of that."""
    naf = redraw(NAF(dims=32, img_layers=1, window=3)).eval()
    for vit in (VIT, {**VIT, 'patch_size': 14, 'embed_dims': 32, 'pretrain_img_size': 28}):
        model = LiftedViT(vit, naf, num_iters=3, keep_maps=True).eval()
        redraw(model.vit)
        image = torch.randn(1, 3, 4 * vit['patch_size'], 3 * vit['patch_size'])
        maps = model(image)
        assert [tuple(each.shape[-2:]) for each in maps] == [(4, 3), (8, 6), (16, 12), (32, 24)]
        for found in maps[1:]:
            torch.testing.assert_close(found, naf(image, maps[0], tuple(found.shape[-2:])))
        found, other = maps[2], torch.randn_like(maps[0])
        torch.testing.assert_close(naf(image, 2 * maps[0] + other, (16, 12)), 2 * found + naf(image, other, (16, 12)))
        torch.testing.assert_close(naf(image, torch.full_like(other, 3.0), (16, 12)), torch.full_like(found, 3.0))
        near = F.max_pool2d(F.pad(maps[0], (1,) * 4, mode='replicate'), 5, 1, padding=2)[..., 1:-1, 1:-1]
        assert (found <= F.interpolate(near, scale_factor=4, mode='nearest') + 1e-5).all(), 'a mean of a window'
    with pytest.raises(ValueError, match='maps of 27 channels: they must be a multiple of the heads'):
        LiftedViT({**VIT, 'embed_dims': 27, 'num_heads': 3}, naf)


def test_heads_of_naf_share_the_channels():
    """In their order: channels of one head may change places, those of two may not."""
    naf, image, maps = redraw(NAF(dims=32, window=3)).eval(), torch.randn(1, 3, 32, 32), torch.randn(1, 8, 4, 4)
    found = naf(image, maps, (8, 8))
    for order, same in (([1, 0, 2, 3, 4, 5, 6, 7], True), ([0, 2, 1, 3, 4, 5, 6, 7], False)):
        assert torch.allclose(naf(image, maps[:, order], (8, 8)), found[:, order], atol=1e-6) == same


def test_naf_sees_pixels_of_imagenet():
    """Whatever the ViT sees; and the largest image is kept in proportion where that is asked for."""
    naf, maps = redraw(NAF(dims=32, window=3)).eval(), torch.randn(1, 8, 2, 4)
    pixels = 255 * torch.rand(1, 3, 64, 128)
    mean, std = (torch.tensor(values)[:, None, None] for values in (naf.mean, naf.std))
    wanted = naf((pixels - mean) / std, maps, (4, 8))
    half = redraw(NAF(dims=32, window=3, mean=(127.5,) * 3, std=(127.5,) * 3)).eval()
    torch.testing.assert_close(half(pixels / 127.5 - 1, maps, (4, 8)), wanted, rtol=1e-4, atol=1e-4)
    seen = []
    for keep_aspect in (False, True):
        limited = NAF(dims=32, keep_aspect=keep_aspect)
        limited.image_encoder.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[-2:])))
        limited(pixels, maps, (4, 8))
    assert seen == [(16, 16), (16, 32)]


def test_naf_between_whole_multiples():
    """As NATTEN has it, or of the nearest whole multiple; and in training with positions that are drawn anew."""
    image, maps = torch.randn(1, 3, 40, 40), torch.randn(1, 8, 5, 5)
    naf = redraw(NAF(dims=32, window=3, fractional='bilinear')).eval()
    found = naf(image, maps, (13, 12))
    wanted = F.interpolate(naf(image, maps, (15, 10)), (13, 12), mode='bilinear')
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(redraw(NAF(dims=32, window=3)).eval()(image, maps, (13, 12)), found)
    naf.train()
    assert not torch.allclose(naf(image, maps, (10, 10)), naf(image, maps, (10, 10)))
    naf.eval()
    torch.testing.assert_close(naf(image, maps, (13, 12)), wanted)
    with pytest.raises(ValueError, match=r'a map of \(5, 5\) is to become one of \(4, 10\)'):
        naf(image, maps, (4, 9))


def test_bilinear_upsampler_is_that_of_the_linear_head():
    """mmseg stretches maps so (`align_corners=False`): each from the map of the ViT, without weights."""
    model = LiftedViT(VIT, BilinearUpsampler(), num_iters=2, norm=True, keep_maps=True).eval()
    maps = redraw(model)(torch.randn(2, 3, 29, 40))
    top, bottom = (0.75 * row[..., 0] + 0.25 * row[..., 1] for row in (maps[0][:, :, 0], maps[0][:, :, 1]))
    torch.testing.assert_close(maps[1][:, :, 1, 1], 0.75 * top + 0.25 * bottom)
    assert [tuple(each.shape[-2:]) for each in maps] == [(4, 5), (8, 10), (16, 20)]
    torch.testing.assert_close(maps[2][:, :, 0, 0], maps[0][:, :, 0, 0])  # the border is continued
    assert not list(model.lift.parameters())


def test_the_image_matters_where_the_map_is_the_same():
    lift = redraw(LiFT(24, 14)).eval()
    maps = torch.randn(1, 24, 2, 3)
    assert not torch.allclose(lift(torch.randn(1, 3, 28, 42), maps), lift(torch.randn(1, 3, 28, 42), maps))


def test_what_is_frozen_stays_in_evaluation():
    model = redraw(LiftedViT({**VIT, 'frozen_stages': 'all'})).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 16, 16))
    norms = [module for module in model.lift.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 5
    assert not any(module.training for module in norms)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model = LiftedViT({**VIT, 'frozen_stages': 'all'}, frozen_lift=False).train()
    model(torch.randn(2, 3, 16, 16))
    assert model.lift.up1.conv_1.double_conv[1].num_batches_tracked == 1
    assert model.vit.blocks[0].training is False


class Mute(nn.Module):
    """A ViT by its attributes, without keys."""

    embed_dims, num_layers, patch_size, in_channels, num_heads = 24, 4, 8, 3, 2
    norm = nn.Identity()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'vit': VIT, 'facet': 'query'}, "facet must be 'token' or 'key', got 'query'"),
        ({'vit': VIT, 'facet': 'key', 'norm': True}, "give norm=False with facet='key'"),
        ({'vit': {**VIT, 'final_norm': None}, 'norm': True}, 'needs a ViT with a final norm'),
        ({'vit': {**VIT, 'in_channels': 4}}, 'images of 3 channels, the ViT has in_channels=4'),
        ({'vit': VIT, 'layer': 4}, 'layer must be between -4 and 3'),
        ({'vit': VIT, 'num_iters': 0}, 'num_iters'),
        ({'vit': VIT, 'lift': {'in_channels': 32}}, "LiFT is given {'in_channels': 32}"),
        ({'vit': VIT, 'lift': LiFT(24, 16)}, "LiFT is given {'patch_size': 16}"),
        ({'vit': VIT, 'lift': {**NAF_OPTIONS, 'dims': 40}}, 'dims must be a multiple of 16'),
        ({'vit': VIT, 'lift': {**NAF_OPTIONS, 'fractional': 'floor'}}, "fractional must be 'natten' or 'bilinear'"),
        ({'vit': {**VIT, 'embed_dims': 27, 'num_heads': 3}}, 'in_channels must be even'),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        LiftedViT(**options)


def test_no_keys_and_no_fitting_image():
    with pytest.raises(TypeError, match='must be a MapUpsampler such as LiFT or NAF, got mmvitdense.PlainViT'):
        LiftedViT(VIT, {'type': 'mmvitdense.PlainViT'})
    with pytest.raises(TypeError, match='Mute has none'):
        LiftedViT(Mute(), facet='key')
    with pytest.raises(ValueError, match=r'the image must be \(16, 24\)'):
        LiFT(24, 8)(torch.randn(1, 3, 16, 16), torch.randn(1, 24, 2, 3))


class TestWeights:
    @pytest.fixture
    def lift(self):
        lift = redraw(LiFT(24, 8), seed=5)
        for module in lift.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 1.5)
        return lift

    def load(self, path, **vit):
        model = LiftedViT({**VIT, **vit}, lift={'init_cfg': {'type': 'LiFTPretrained', 'checkpoint': str(path)}})
        model.init_weights()
        return model

    @pytest.mark.parametrize('prefix', ['', 'module.'])
    def test_released_files(self, lift, tmp_path, prefix):
        """Which may have been saved of a model on several GPUs."""
        torch.save({f'{prefix}{name}': value for name, value in lift.state_dict().items()}, tmp_path / 'lift.pth')
        loaded = self.load(tmp_path / 'lift.pth').lift.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in lift.state_dict().items())

    def test_own_checkpoints(self, lift, tmp_path):
        """Of the training, in which the names are those of a segmentor with the same backbone."""
        trained = LiFTPretraining(LiftedViT({**VIT, 'frozen_stages': 'all'}, lift, frozen_lift=False))
        torch.save({'state_dict': trained.state_dict(), 'meta': {}}, tmp_path / 'iter_1.pth')
        assert 'backbone.lift.outc.weight' in trained.state_dict()
        loaded = self.load(tmp_path / 'iter_1.pth').lift.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in lift.state_dict().items())

    def test_files_that_do_not_fit(self, lift, tmp_path):
        path, state = tmp_path / 'other.pth', lift.state_dict()
        torch.save(state, path)
        with pytest.raises(CheckpointError, match='for another ViT: .* give the LiFT of this ViT'):
            self.load(path, embed_dims=32)
        torch.save(PlainViT(**VIT).state_dict(), path)
        with pytest.raises(CheckpointError, match='has no LiFT: expected one'):
            self.load(path)
        torch.save({name: value for name, value in state.items() if name != 'outc.bias'}, path)
        with pytest.raises(CheckpointError, match=r"lacks \['outc.bias'\] and has nothing besides"):
            self.load(path)


class TestWeightsOfNAF:
    def load(self, path, **options):
        init = {'type': 'NAFPretrained', 'checkpoint': str(path)}
        model = LiftedViT(VIT, {**NAF_OPTIONS, **options, 'init_cfg': init})
        model.init_weights()
        return model.lift.state_dict()

    def test_released_and_own_files(self, tmp_path):
        naf = redraw(NAF(dims=32, img_layers=1, window=3), seed=5)
        released = {**naf.state_dict(), 'image_encoder.rope.periods': 100 ** (torch.arange(2) / 2)}
        torch.save(released, tmp_path / 'naf.pth')
        trained = NAFPretraining(LiftedViT({**VIT, 'frozen_stages': 'all'}, naf, frozen_lift=False))
        torch.save({'state_dict': trained.state_dict(), 'meta': {}}, tmp_path / 'iter_1.pth')
        for file in ('naf.pth', 'iter_1.pth'):
            loaded = self.load(tmp_path / file)
            assert all(torch.equal(loaded[name], value) for name, value in naf.state_dict().items())
        with pytest.raises(CheckpointError, match='has 2 rotary periods up to 10, the NAF has 2 up to 31.62'):
            self.load(tmp_path / 'naf.pth', rope_base=1000.0)
        with pytest.raises(CheckpointError, match='of a NAF of other sizes: .* give the model the dims of the file'):
            self.load(tmp_path / 'iter_1.pth', dims=64)
        with pytest.raises(CheckpointError, match=r"lacks \['image_encoder.encoder.2"):
            self.load(tmp_path / 'naf.pth', img_layers=2)


def test_a_frozen_lift_without_weights_is_warned_of(monkeypatch):
    logged = []
    monkeypatch.setattr('mmvitdense.models.backbones.lifted_vit.print_log', lambda text, **_: logged.append(text))
    LiftedViT(VIT, frozen_lift=False).init_weights()
    LiftedViT(VIT, {'type': 'mmvitdense.BilinearUpsampler'}).init_weights()
    assert logged == []
    LiftedViT(VIT).init_weights()
    assert 'LiFT is frozen with the weights that it was built with' in logged[0]
    assert "give lift=dict(init_cfg=dict(type='LiFTPretrained'" in logged[0]


def test_training_that_cannot_be():
    with pytest.raises(ValueError, match="give vit=dict\\(frozen_stages='all'\\)"):
        LiFTPretraining(LiftedViT(VIT, frozen_lift=False))
    with pytest.raises(ValueError, match='give the backbone frozen_lift=False'):
        LiFTPretraining(LiftedViT({**VIT, 'frozen_stages': 'all'}))
    frozen = {**VIT, 'frozen_stages': 'all'}
    with pytest.raises(ValueError, match='NAFPretraining trains NAF: give the backbone frozen_lift=False'):
        NAFPretraining(LiftedViT(frozen, NAF_OPTIONS))
    with pytest.raises(ValueError, match='factor must be above 0 and at most 1'):
        NAFPretraining(LiftedViT(frozen, NAF_OPTIONS, frozen_lift=False), factor=(0.6, 0.25))
    model = LiFTPretraining(LiftedViT(frozen, frozen_lift=False))
    with pytest.raises(ValueError, match='multiples of 32, 4 patches'):
        model(torch.randn(2, 3, 48, 32), mode='loss')
    with pytest.raises(ValueError, match="mode must be 'loss'"):
        model(torch.randn(2, 3, 32, 32), mode='test')
