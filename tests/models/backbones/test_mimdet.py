"""MIMDet: the suite of backbones, the tokens that are seen and what takes the place of the others."""

import numpy as np
import pytest
import torch

from mmvitdense.models import MIMDet, PlainViT
from tests.fidelity.agreement import assert_within, redraw
from tests.models.suite import BackboneSuite, snapshot

SMALL = {
    'vit': {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 48, 'pretrain_img_size': 80},
    'decoder': {'embed_dims': 24, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32},
}
OF_THE_VIT = ('drop_path_rate', 'frozen_stages')


class TestMIMDet(BackboneSuite):
    model_class = MIMDet
    patch_size = 16
    variants = {
        'all-tokens': SMALL,
        'half-of-them': {**SMALL, 'test_sample_ratio': 0.5},
        'mask-token': {**SMALL, 'fill': 'mask_token', 'test_sample_ratio': 0.25, 'mask_padding': True},
    }
    drawn_on_the_host = ('half-of-them', 'mask-token')
    compiled = {
        name: {**options, 'vit': {**SMALL['vit'], 'num_layers': 1}, 'decoder': {**SMALL['decoder'], 'num_layers': 1}}
        for name, options in variants.items()
    }
    exported = compiled
    without_gradient = {'all-tokens': {'conv_feat_proj.weight', 'conv_feat_proj.bias'}}

    def build(self, options):
        """With options of the ViT that the suite gives."""
        of_vit = {name: options[name] for name in OF_THE_VIT if name in options}
        others = {name: value for name, value in options.items() if name not in of_vit}
        return super().build({**others, 'vit': {**options['vit'], **of_vit}})

    def strides_and_channels(self, options):
        return [(4, 8), (8, 16), (16, 24), (32, 24)]

    @pytest.mark.parametrize('stages', [0, 2])
    def test_frozen_stages(self, options, example, stages):
        """Blocks of the ViT; the stem, which no pre-training has, learns."""
        model = self.build({**options, 'frozen_stages': stages, 'drop_path_rate': 0.5}).train()
        sum(output.sum() for output in model(*example)).backward()
        tables = {'vit.pos_embed', 'decoder.pos_embed'}
        blocks = {
            n for n, _ in model.named_parameters() if n.startswith(tuple(f'vit.blocks.{i}.' for i in range(stages)))
        }
        assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == tables | blocks
        for name, parameter in model.named_parameters():
            assert (parameter.grad is None) == (name in tables | blocks), name
        assert [block.training for block in model.vit.blocks] == [index >= stages for index in range(4)]

    def test_layer_depths(self, model):
        depths = {name: model.get_layer_depth(f'backbone.{name}', 'backbone.') for name, _ in model.named_parameters()}
        for name, (depth, total) in depths.items():
            kind, *rest = name.split('.')
            expected = {'stem': 0, 'vit': int(rest[1]) + 1 if 'blocks' in name else 0}.get(kind, 5)
            assert (depth, total) == (5 if name.startswith('vit.norm.') else expected, 6), name
        assert model.get_layer_depth('neck.stem.weight', 'backbone.') == (5, 6)


# Parameters of the official model: stem, blocks and norm of the encoder, decoder, position tables of 50 x 50.
PARAMETERS = {
    'base': (4_079_712, 85_056_000, 13_398_016, 3_201_280),
    'large': (7_250_048, 302_311_424, 13_660_160, 3_841_536),
}


@pytest.mark.parametrize('arch', list(PARAMETERS))
class TestPublishedSizes:
    @pytest.fixture
    def model(self, arch):
        with torch.device('meta'):
            return MIMDet(vit={'arch': arch, 'pretrain_img_size': 800})

    def test_parameters(self, model, arch):
        stem, encoder, decoder, tables = PARAMETERS[arch]
        assert _count(model.stem) == stem
        assert _count(model.vit.blocks, model.vit.norm) == encoder
        assert _count(model.decoder_embed, model.conv_feat_proj, model.decoder.blocks, model.decoder.norm) == decoder
        assert model.vit.pos_embed.numel() + model.decoder.pos_embed.numel() == tables
        assert _count(model) == stem + encoder + decoder + tables
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        assert frozen == {'vit.pos_embed', 'decoder.pos_embed'}

    @pytest.mark.parametrize(
        ('size', 'grids'),
        [
            ((1024, 1024), [(256, 256), (128, 128), (64, 64), (32, 32)]),
            ((800, 1344), [(200, 336), (100, 168), (50, 84), (25, 42)]),
        ],
    )
    def test_maps(self, model, arch, size, grids):
        widths = {'base': (192, 384, 512, 512), 'large': (256, 512, 512, 512)}[arch]
        maps = model.eval()(torch.empty(1, 3, *size, device='meta'))
        assert [tuple(level.shape[1:]) for level in maps] == [(c, *grid) for c, grid in zip(widths, grids)]

    def test_norms(self, model, arch):
        found = {type(m).__name__: {n.eps for n in model.modules() if type(n) is type(m)} for m in _norms(model)}
        assert found == {'LayerNorm': {1e-5}, 'GroupNorm': {1e-6}}
        assert {m.num_groups for m in model.modules() if isinstance(m, torch.nn.GroupNorm)} == {1}

    def test_decoder(self, model, arch):
        assert len(model.decoder.blocks) == 4
        assert {block.attn.num_heads for block in model.decoder.blocks} == {16}
        assert model.decoder.pos_grid == model.vit.pos_grid == (50, 50)


def _count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _norms(model):
    return [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm | torch.nn.GroupNorm)]


def _fed_to_decoder(model, *args):
    """What the decoder gets, positions included, and the tokens of the stem, B x N x C each."""
    kept = {}
    handles = [
        model.decoder.norm_pre.register_forward_pre_hook(lambda _, inputs: kept.update(decoder=inputs[0])),
        model.stem.register_forward_hook(lambda *call: kept.update(stem=call[-1][2].flatten(2).transpose(1, 2))),
        model.vit.blocks[0].register_forward_pre_hook(lambda _, inputs: kept.update(seen=inputs[0])),
    ]
    model(*args)
    for handle in handles:
        handle.remove()
    return kept


class TestSampling:
    @pytest.fixture
    def model(self):
        return redraw(MIMDet(**SMALL)).train()

    @pytest.fixture
    def image(self):
        return torch.randn(2, 3, 96, 128)

    @pytest.mark.parametrize(
        ('size', 'ratio', 'count'),
        [((96, 128), 0.5, 24), ((96, 112), 0.25, 10), ((48, 80), 0.9, 13), ((16, 16), 0.5, 1)],
    )
    def test_the_encoder_runs_on_as_many_tokens(self, size, ratio, count):
        """Rounded down, and one at least."""
        model = MIMDet(**SMALL, sample_ratio=ratio).train()
        assert _fed_to_decoder(model, torch.randn(2, 3, *size))['seen'].shape == (2, count, 32)

    @pytest.mark.parametrize('fill', ['conv_feat', 'mask_token'])
    def test_what_is_not_seen_is_filled(self, image, fill):
        model = redraw(MIMDet(**SMALL, fill=fill)).train()
        noise = torch.rand(2, 48)
        fed = _fed_to_decoder(model, image, None, noise)
        ranks = noise.argsort(dim=1).argsort(dim=1)
        filled = model.conv_feat_proj(fed['stem']) if fill == 'conv_feat' else model.mask_token.expand(2, 48, -1)
        wanted = filled + model.decoder.position_table((6, 8))
        for index in range(2):
            hidden = ranks[index] >= 24
            assert hidden.sum() == 24
            assert torch.equal(fed['decoder'][index, hidden], wanted[index, hidden])
            assert (fed['decoder'][index, ~hidden] != wanted[index, ~hidden]).any(dim=1).all()

    def test_what_is_seen_is_at_its_place(self, image):
        """With an encoder that does nothing, the decoder gets the embedding of each token where it was."""
        model = redraw(MIMDet(**SMALL)).train()
        with torch.no_grad():
            for block in model.vit.blocks:
                for layer in (block.attn.proj, block.mlp.fc2):
                    layer.weight.zero_(), layer.bias.zero_()
        noise = torch.rand(2, 48)
        fed = _fed_to_decoder(model, image, None, noise)
        tokens = model.vit.norm(fed['stem'] + model.vit.position_table((6, 8)))
        wanted = model.decoder_embed(tokens) + model.decoder.position_table((6, 8))
        seen = noise.argsort(dim=1).argsort(dim=1) < 24
        torch.testing.assert_close(fed['decoder'][seen], wanted[seen], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize('ratio', [0.2, 0.5, 0.8])
    def test_padding_only_where_an_image_has_too_few_tokens(self, ratio):
        """Against the rule written down in numpy: padding gets the noise 100, the smallest are kept."""
        random = np.random.default_rng(0)
        for _ in range(20):
            sizes = random.integers(1, (96, 128), size=(3, 2), endpoint=True)
            noise = random.random((3, 48), dtype=np.float32)
            seen = MIMDet._choose(torch.from_numpy(noise), ratio, (6, 8), sizes.tolist()).numpy()
            count = int(48 * ratio)
            assert seen.shape == (3, count)
            for index, (height, width) in enumerate(sizes):
                padding = np.ones((6, 8), dtype=bool)
                padding[: -(-height // 16), : -(-width // 16)] = False
                order = np.argsort(np.where(padding.ravel(), 100.0, noise[index]), kind='stable')
                assert set(seen[index]) == set(order[:count])
                valid = (~padding).sum()
                assert padding.ravel()[seen[index]].sum() == max(count - valid, 0)

    def test_sizes_as_a_tensor(self, model, image):
        sizes, noise = [(96, 64), (40, 128)], torch.rand(2, 48)
        for one, other in zip(model(image, sizes, noise), model(image, torch.tensor(sizes), noise)):
            assert torch.equal(one, other)
        assert not torch.equal(model(image, sizes, noise)[2], model(image, None, noise)[2])

    def test_a_size_for_each_image(self, model, image):
        with pytest.raises(ValueError, match=r'one \(height, width\) for each of the 2 images, got the shape \(3, 2\)'):
            model(image, [(96, 128)] * 3)

    def test_training_repeats_with_the_seed_of_torch(self, model, image):
        def run(seed):
            torch.manual_seed(seed)
            return model(image)[2]

        assert torch.equal(run(0), run(0))
        assert not torch.equal(run(0), run(1))
        first, second = model._draw_noise(torch.empty(2, 48, 32))
        assert not torch.equal(first, second)

    def test_evaluation_repeats_without_touching_the_generator(self, image):
        """Neither the batch nor the order of images nor the state of the generator changes a prediction."""
        model = redraw(MIMDet(**SMALL, test_sample_ratio=0.5)).eval()
        state = torch.get_rng_state()
        expected = model(image)[2]
        assert torch.equal(torch.get_rng_state(), state)
        torch.testing.assert_close(model(image.flip(0))[2].flip(0), expected)
        other = redraw(MIMDet(**SMALL, test_sample_ratio=0.5, seed=1)).eval()
        assert not torch.allclose(other(image)[2], expected)

    @pytest.mark.cuda
    def test_training_repeats_on_cuda(self, model, image):
        model, image = model.cuda(), image.cuda()
        outputs = []
        for _ in range(2):
            torch.manual_seed(0)
            outputs.append(model(image)[2])
        torch.testing.assert_close(*outputs)

    @pytest.mark.cuda
    def test_the_seen_tokens_are_those_of_the_cpu(self, image):
        noise = torch.rand(2, 48)
        sizes = [(50, 128), (96, 20)]
        on_gpu = MIMDet._choose(noise.cuda(), 0.5, (6, 8), sizes)
        assert torch.equal(on_gpu.cpu(), MIMDet._choose(noise, 0.5, (6, 8), sizes))

    def test_maps_of_the_stem_do_not_depend_on_what_is_seen(self, model, image):
        one, other = model(image), model(image)
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert not torch.equal(one[2], other[2])


class TestAllTokens:
    @pytest.fixture
    def model(self):
        return redraw(MIMDet(**SMALL, sample_ratio=1.0)).train()

    def test_neither_noise_nor_fill_counts(self, model):
        image = torch.randn(2, 3, 64, 96)
        expected = model(image)
        with torch.no_grad():
            for parameter in model.conv_feat_proj.parameters():
                parameter.add_(1.0)
        for noise in (None, torch.rand(2, 24)):
            for output, wanted in zip(model(image, None, noise), expected):
                assert torch.equal(output, wanted)

    def test_shuffling_them_would_change_nothing(self, model):
        """The order of the tokens is of no importance, which makes the short cut for all of them right."""
        image = torch.randn(2, 3, 64, 96)
        features = model.stem(image)[2].flatten(2).transpose(1, 2)
        tokens = features + model.vit.position_table((4, 6))
        order = torch.rand(2, 24).argsort(dim=1)
        shuffled = model._encode(torch.stack([one[index] for one, index in zip(tokens, order)]))
        assert_within(model._fill(features, shuffled, order), model._encode(tokens), 1e-5, 'tokens')

    @pytest.mark.parametrize('fill', ['conv_feat', 'mask_token'])
    def test_the_fill_has_gradients_of_zero(self, fill):
        """Without them distributed training would wait for them."""
        model = redraw(MIMDet(**SMALL, sample_ratio=1.0, fill=fill)).train()
        sum(output.sum() for output in model(torch.randn(2, 3, 64, 96))).backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert parameter.grad.any() != name.startswith(('conv_feat_proj', 'mask_token')), name


class TestMaskPadding:
    SIZES = ((96, 70), (49, 128))

    def outputs(self, mask_padding):
        """Maps of the stem for images in a batch, and for each alone."""
        model = redraw(MIMDet(**SMALL, mask_padding=mask_padding)).eval()
        images = [torch.randn(1, 3, *size) for size in self.SIZES]
        padded = [torch.nn.functional.pad(x, (0, 128 - x.shape[-1], 0, 96 - x.shape[-2])) for x in images]
        together = model(torch.cat(padded), self.SIZES)[:2]
        return together, [model(image)[:2] for image in images]

    def test_an_image_is_as_if_it_were_alone(self):
        together, alone = self.outputs(mask_padding=True)
        for index, maps in enumerate(alone):
            for both, one in zip(together, maps):
                assert_within(both[index : index + 1, :, : one.shape[2], : one.shape[3]], one, 1e-4, 'map')
                assert not both[index, :, one.shape[2] :].any()
                assert not both[index, :, :, one.shape[3] :].any()

    def test_as_published_it_is_not(self):
        together, alone = self.outputs(mask_padding=False)
        first = alone[0][0]
        assert not torch.allclose(together[0][:1, :, : first.shape[2], : first.shape[3]], first, atol=1e-2)


class TestOptions:
    def test_initial_weights(self):
        model = MIMDet(**{**SMALL, 'fill': 'mask_token'})
        for linear in (model.vit.blocks[3].mlp.fc1, model.decoder.blocks[1].attn.qkv, model.decoder_embed):
            bound = (6 / (linear.in_features + linear.out_features)) ** 0.5
            assert 0.9 * bound < linear.weight.abs().max() <= bound
            assert not linear.bias.any()
        assert 0.005 < model.mask_token.std() < 0.05

    def test_position_tables(self):
        """Sines and cosines, columns first: those of row 1 and column 2 are the golden figures of MAE's table."""
        model = MIMDet(**SMALL)
        for part, width in ((model.vit, 32), (model.decoder, 24)):
            assert part.pos_embed.shape == (1, 26, width)
            assert not part.pos_embed[:, 0].any()
            row = part.pos_embed[0, 1 + 5 * 1 + 2]
            expected = torch.tensor([0.909297, -0.416147, 0.841471, 0.540302])
            torch.testing.assert_close(row[:: width // 4], expected, rtol=0, atol=1e-6)

    def test_a_vit_that_is_built(self):
        vit = PlainViT(**SMALL['vit'], final_norm='last', norm_eps=1e-5, pos_embed_cls_slot=True)
        redraw(vit).init_weights()
        before = snapshot(vit)
        model = MIMDet(vit=vit, decoder=SMALL['decoder'], with_cp=True)
        model.init_weights()
        assert len(model(torch.randn(1, 3, 32, 32))) == 4
        assert snapshot(vit) == before
        assert all(mine is its for mine, its in zip(model.vit.blocks, vit.blocks))
        assert torch.equal(model.vit.pos_embed, vit.pos_embed)
        built = MIMDet(**SMALL)
        assert {name for name, _ in model.named_parameters()} == {name for name, _ in built.named_parameters()}

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'sample_ratio': 0.0}, 'sample_ratio must be above 0 and at most 1, got 0.0'),
            ({'test_sample_ratio': 1.5}, 'test_sample_ratio must be above 0 and at most 1, got 1.5'),
            ({'fill': 'zeros'}, "fill must be one of .*, got 'zeros'"),
            ({'vit': {**SMALL['vit'], 'patch_size': 8}}, 'the vit of MIMDet has patch_size=8 instead of 16'),
            ({'vit': {**SMALL['vit'], 'with_cls_token': True}}, 'has class or register tokens'),
            ({'vit': {**SMALL['vit'], 'pos_embed': None}}, 'has no absolute positions'),
            ({'vit': {**SMALL['vit'], 'rope': {'kind': 'dinov3'}}}, 'has rope'),
            ({'vit': {**SMALL['vit'], 'window_size': 2, 'global_blocks': (3,)}}, 'has windows'),
            ({'vit': {**SMALL['vit'], 'rel_pos': 'bias'}}, 'has rel_pos'),
            ({'vit': {**SMALL['vit'], 'rel_pos': 'bias_shared'}}, 'has rel_pos'),
            ({'vit': {**SMALL['vit'], 'conv_blocks': (1,)}}, 'has conv_blocks'),
            ({'decoder': {**SMALL['decoder'], 'rel_pos': 'decomposed'}}, 'the decoder of MIMDet has rel_pos'),
            ({'vit': {**SMALL['vit'], 'embed_dims': 36, 'num_heads': 2}}, 'must be a multiple of 8, got 36'),
        ],
    )
    def test_a_bad_one_is_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            MIMDet(**{**SMALL, **options})
