"""The contract of a ViT: what holders rely on, of ours and of timm's."""

import pytest
import torch
from torch import nn

from mmvitdense.models import MIMDet, PlainViT, TimmViT, ViTAdapter, ViTCoMer
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import assert_within, redraw
from tests.models.suite import snapshot

timm = pytest.importorskip('timm')

SIZES = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 128, 'img_size': 64}
SMALL = {'deform_num_heads': 2, 'conv_inplane': 4}
HOLDERS = {
    'adapter': (ViTAdapter, SMALL),
    'comer': (ViTCoMer, SMALL),
    'mimdet': (MIMDet, {'decoder': {'embed_dims': 24, 'num_layers': 1, 'num_heads': 2}}),
}


def _of_timm(in_channels=3):
    """With class token, registers, LayerScale and a norm before the blocks."""
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=64,
        in_chans=in_channels,
        embed_dim=32,
        depth=4,
        num_heads=2,
        reg_tokens=2,
        no_embed_class=True,
        init_values=0.5,
        pre_norm=True,
        num_classes=0,
        global_pool='token',
        drop_path_rate=0.2,
        dynamic_img_size=True,
    )
    return redraw(model).eval()


def _twins(in_channels=3):
    """The same weights as a module of timm and as a `PlainViT`."""
    model = _of_timm(in_channels)
    plain = PlainViT(
        **SIZES,
        in_channels=in_channels,
        with_cls_token=True,
        num_registers=2,
        pos_embed_cls_slot=False,
        layer_scale_init=0.5,
        pre_norm=True,
        patch_bias=False,
        drop_path_rate=0.2,
        final_norm='last',
        pos_resize={'antialias': True},
    ).eval()
    plain.load_state_dict({name.replace('reg_token', 'register_tokens'): x for name, x in model.state_dict().items()})
    return TimmViT(model), plain


class TestIntermediate:
    @pytest.mark.parametrize('norm', [False, True])
    @pytest.mark.parametrize(('indices', 'blocks'), [(2, [2, 3]), ([0, 2], [0, 2]), ([-1, 1], [1, 3])])
    def test_against_timm(self, indices, blocks, norm):
        image = torch.randn(2, 3, 48, 80)
        held, plain = _twins()
        expected = held.model.forward_intermediates(image, blocks, True, norm, intermediates_only=True)
        for vit in (held, plain):
            maps = vit.intermediate(image, indices, norm=norm)
            pairs = vit.intermediate(image, indices, norm, True)
            assert len(maps) == len(pairs) == len(expected)
            for alone, (level, prefix), (wanted, tokens) in zip(maps, pairs, expected):
                assert torch.equal(alone, level)
                assert_within(level, wanted, 1e-5, 'map')
                assert_within(prefix, tokens, 1e-5, 'prefix tokens')

    def test_bad_questions(self):
        vit, image = PlainViT(**SIZES), torch.zeros(1, 3, 32, 32)
        with pytest.raises(ValueError, match='norm=True needs a ViT with a final norm, PlainViT has none'):
            vit.intermediate(image, 1, norm=True)
        with pytest.raises(ValueError, match='number of last blocks must be 1 to 4, got 5'):
            vit.intermediate(image, 5)
        with pytest.raises(ValueError, match='indices must be between -4 and 3 .*4'):
            vit.intermediate(image, [4])


class TestTimm:
    @pytest.mark.parametrize(('holder', 'in_channels'), [('adapter', 3), ('comer', 3), ('comer', 4)])
    def test_in_an_adapter(self, holder, in_channels):
        """Outputs and gradients as with `PlainViT`, at a size that is no multiple of anything."""
        kind, options = HOLDERS[holder]
        held, plain = _twins(in_channels)
        one, other = (kind(vit, **options) for vit in (held, plain))
        for child in (one.interactions, one.spm, one.up):
            redraw(child)
        around = {name: x for name, x in one.state_dict().items() if not name.startswith('vit.')}
        missing, unexpected = other.load_state_dict(around, strict=False)
        assert not unexpected
        assert all(name.startswith('vit.') for name in missing)
        image = torch.randn(2, in_channels, 50, 83)
        outputs, expected = one.eval()(image), other.eval()(image)
        for level, wanted in zip(outputs, expected):
            assert_within(level, wanted, 1e-4, 'level')
        for levels in (outputs, expected):
            sum(level.square().sum() for level in levels).backward()
        qkvs = [blocks[1].attn.qkv.weight.grad for blocks in (held.model.blocks, plain.blocks)]
        assert_within(*qkvs, 1e-3, 'gradient')

    def test_layer_depths(self):
        held, plain = _twins()
        for name, _ in plain.named_parameters():
            theirs = f'bb.model.{name.replace("register_tokens", "reg_token")}'
            assert theirs.removeprefix('bb.') in dict(held.named_parameters())
            assert held.get_layer_depth(theirs, 'bb.') == plain.get_layer_depth(f'bb.{name}', 'bb.'), name
        assert held.get_layer_depth('neck.model.blocks.0.norm1.weight', 'bb.') == (5, 6)

    def test_a_mask(self):
        held, plain = _twins()
        mask = (torch.rand(2, 1, 15, 15) < 0.5) | torch.eye(15, dtype=torch.bool)
        image = torch.randn(2, 3, 48, 64)
        masked, free = [], []
        for vit in (held, plain):
            tokens, grid = vit.embed(image)
            masked.append(vit.run_blocks(tokens, grid, 1, 3, mask=mask))
            free.append(vit.run_blocks(tokens, grid, 1, 3))
        assert_within(*masked, 1e-4, 'tokens')
        assert not torch.allclose(masked[0], free[0], atol=1e-2)

    def test_from_a_config_in_an_adapter(self):
        """Built where its holder has no memory yet, and with weights that initialising leaves alone."""
        vit = {'type': 'mmvitdense.TimmViT', 'model': 'vit_tiny_patch16_224', 'img_size': 64, 'depth': 4}
        model = MODELS.build({'type': 'mmvitdense.ViTCoMer', 'vit': {**vit, 'in_channels': 4}, 'deform_num_heads': 3})
        before = {name: x.clone() for name, x in model.vit.state_dict().items()}
        assert before['model.blocks.0.mlp.fc1.weight'].std() > 0
        model.init_weights()
        assert all(torch.equal(x, before[name]) for name, x in model.vit.state_dict().items())
        assert model(torch.randn(2, 4, 32, 32))[0].shape == (2, 192, 8, 8)

    def test_recomputing(self):
        grads = []
        for with_cp in (False, True):
            vit = TimmViT(_of_timm(), with_cp=with_cp, out_indices=(1, 3)).train()
            torch.manual_seed(0)
            sum(level.square().sum() for level in vit(torch.ones(2, 3, 32, 32))).backward()
            grads.append(vit.model.blocks[0].attn.qkv.weight.grad)
        torch.testing.assert_close(*grads)

    @pytest.mark.parametrize(
        ('model', 'options', 'error', 'message'),
        [
            (nn.Linear(1, 1), {}, TypeError, 'must be a VisionTransformer of timm, got Linear'),
            ('vit_tiny_patch16_224', {'dynamic_img_size': False}, ValueError, 'images of one size alone: create it'),
            ('vit_tiny_patch16_224', {'final_norm': 'first'}, ValueError, "final_norm must be .* got 'first'"),
            (nn.Linear(1, 1), {'depth': 3}, ValueError, r"options \['depth'\] are for a model that is given by name"),
        ],
    )
    def test_what_it_refuses(self, model, options, error, message):
        with pytest.raises(error, match=message):
            TimmViT(model, **options)


class TestHolders:
    @pytest.mark.parametrize('holder', HOLDERS)
    def test_a_module_is_not_changed(self, holder):
        """Not by construction, initialisation, a pass that recomputes, or the modes of the holder."""
        kind, options = HOLDERS[holder]
        vit = redraw(PlainViT(**SIZES, final_norm='last', frozen_stages=2))
        vit.init_weights()
        before = snapshot(vit)
        self.assert_left_alone(vit, kind(vit, with_cp=True, **options), before)

    def test_a_module_of_timm_is_not_changed(self):
        vit = TimmViT(_of_timm()).train()
        before = snapshot(vit)
        self.assert_left_alone(vit, ViTCoMer(vit, with_cp=True, **SMALL), before)

    @staticmethod
    def assert_left_alone(vit, model, before):
        model.init_weights()
        sum(level.sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
        model.eval()
        model.train()
        assert snapshot(vit) == before

    @pytest.mark.parametrize('holder', HOLDERS)
    def test_channels_of_the_image(self, holder):
        """One option for stem and ViT, or that of the ViT."""
        kind, options = HOLDERS[holder]
        for model in (kind(SIZES, in_channels=4, **options), kind({**SIZES, 'in_channels': 4}, **options)):
            assert model.vit.in_channels == 4
            assert all(level.isfinite().all() for level in model(torch.randn(2, 4, 64, 64)))
        with pytest.raises(ValueError, match='in_channels=5 does not fit a ViT with in_channels=4'):
            kind({**SIZES, 'in_channels': 4}, in_channels=5, **options)
        with pytest.raises(ValueError, match='in_channels=4 does not fit a ViT with in_channels=3'):
            kind(PlainViT(**SIZES), in_channels=4, **options)

    def test_mimdet_names_what_it_needs(self):
        with pytest.raises(TypeError, match='the vit of MIMDet must take tokens of another stem, .* got TimmViT'):
            MIMDet(TimmViT(_of_timm()))
