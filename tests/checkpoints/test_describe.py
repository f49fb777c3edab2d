"""What a checkpoint tells of its model, and what is a guess: windows, heads, sampling points, the rest."""

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, ViTPretrained, convert, detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.checkpoints.formats.detectron2_vitdet import FORMAT as DETECTRON2_VITDET
from mmvitdense.checkpoints.formats.dinov3 import families_of
from mmvitdense.checkpoints.formats.eva02 import FORMAT as EVA02
from mmvitdense.checkpoints.formats.mimdet import FORMAT as MIMDET
from mmvitdense.checkpoints.formats.timm_vit import FORMAT as TIMM_VIT
from mmvitdense.checkpoints.formats.vit_adapter import FORMAT as VIT_ADAPTER
from mmvitdense.checkpoints.formats.vit_comer import FORMAT as VIT_COMER
from mmvitdense.layers import half_pairing
from mmvitdense.layers.positions import sincos_position_table
from mmvitdense.models import MIMDet, PlainViT, SimpleFeaturePyramid, ViTAdapter, ViTCoMer
from tests.checkpoints.test_adapters import SMALL, TIMM, in_official_names
from tests.fidelity.agreement import redraw

VIT = {'embed_dims': 32, 'num_layers': 8, 'num_heads': 4, 'feedforward_channels': 24, 'patch_size': 8}


def vitdet(**options):
    """A ViT and its weights in a ViTDet of detectron2."""
    vit = redraw(PlainViT(**VIT, pos_embed_cls_slot=True, **options)).eval()
    neck = {'simfp_4.0.weight': torch.zeros(1), 'simfp_4.1.weight': torch.zeros(1)}
    return vit, {**{f'net.{name}': tensor for name, tensor in vit.state_dict().items()}, **neck}


def rebuilt(source, options):
    model = PlainViT(**{'num_heads': 4, **options}).eval()
    model.load_state_dict(source.state_dict())
    return model


def same_map(first, second, side=96):
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.allclose(first(image)[0], second(image)[0], atol=1e-4)


class TestWindows:
    """All tables load into several models, whose outputs are 1.5 to 2.6 standard deviations apart."""

    @pytest.mark.parametrize(
        ('options', 'guess'),
        [
            # Eight windowed blocks, as the ablations of ViTDet; the pre-training grid is 4 x 4.
            ({'window_size': 4, 'global_blocks': ()}, 'all tables of relative positions span 4 tokens'),
            ({'window_size': 3, 'global_blocks': (), 'conv_blocks': (1, 3, 5, 7)}, 'all tables'),
            ({'img_size': 96}, 'all tables of relative positions span 12 tokens'),
            ({'window_size': 3, 'img_size': 96, 'global_blocks': (0, 7)}, 'span 3 or 12 tokens'),
        ],
        ids=['windows', 'propagation', 'whole map', 'other blocks'],
    )
    def test_likely_and_called_a_guess(self, options, guess):
        source, weights = vitdet(rel_pos='decomposed', **{'pretrain_img_size': 32, 'img_size': 32, **options})
        told = describe(DETECTRON2_VITDET, weights, {'num_heads': 4})
        assert guess in told.guesses['window_size']
        assert same_map(rebuilt(source, told.options), source)

    def test_without_relative_positions(self):
        source, weights = vitdet(window_size=4, pretrain_img_size=32)
        told = describe(DETECTRON2_VITDET, weights, {'num_heads': 4})
        assert list(told.guesses) == ['window_size']
        assert same_map(rebuilt(source, told.options), source)
        given = describe(DETECTRON2_VITDET, weights, {'num_heads': 4, 'window_size': 0})
        assert not given.guesses
        assert not same_map(rebuilt(source, given.options), source)

    @pytest.mark.parametrize(('window', 'image'), [(3, 96), (5, 32)], ids=['smaller', 'larger'])
    def test_the_published_blocks_are_global(self, window, image):
        """Also where a window is larger than the map."""
        options = {'rel_pos': 'decomposed', 'img_size': image, 'pretrain_img_size': 32}
        source, weights = vitdet(window_size=window, global_blocks=(1, 3, 5, 7), **options)
        told = describe(DETECTRON2_VITDET, weights)
        assert not told.guesses
        assert (told.options['window_size'], told.options['img_size']) == (window, image)
        assert same_map(rebuilt(source, told.options), source, image)

    def test_windows_of_several_sizes(self):
        windows = [3, 3, 0, 5, 3, 3, 0, 5]
        source, weights = vitdet(window_size=windows, rel_pos='decomposed', img_size=96, pretrain_img_size=32)
        told = describe(DETECTRON2_VITDET, weights)
        assert told.options['window_size'] == windows
        assert same_map(rebuilt(source, told.options), source)


@pytest.mark.parametrize('scale_factors', [(2, 1, 0.5), (1,), (4, 2, 1, 0.5), (4, 2)], ids=str)
@pytest.mark.parametrize('patch_size', [16, 8])
def test_levels_of_a_pyramid(scale_factors, patch_size):
    """detectron2 calls a level by the logarithm of its stride, ours are counted."""
    neck = SimpleFeaturePyramid(16, 8, scale_factors=scale_factors)
    official = {'backbone.net.blocks.0.attn.qkv.weight': torch.zeros(1)}
    first = {4: 4, 2: 1, 1: 0, 0.5: 1}
    for name, tensor in neck.state_dict().items():
        kind, index, *rest = name.split('.')
        factor = scale_factors[int(index)]
        level = int(patch_size / factor).bit_length() - 1
        if kind != 'resample':
            position = first[factor] + (kind == 'output_convs')
            rest = [str(position), *(['norm'] if rest[0] == '1' else []), rest[1]]
        official[f'backbone.simfp_{level}.{".".join(rest)}'] = tensor
    assert len(official) == 1 + len(neck.state_dict())
    assert detect(official) is DETECTRON2_VITDET
    found = {name.removeprefix('neck.'): x for name, x in convert(official).items() if name.startswith('neck.')}
    neck.load_state_dict(found)


class TestAdapters:
    @pytest.mark.parametrize('model', [ViTCoMer, ViTAdapter])
    @pytest.mark.parametrize(('heads', 'points'), [(7, 8), (2, 3), (4, 1)])
    def test_sampling_points(self, model, heads, points):
        """Only the product with the heads is in the weights."""
        trunk = {**TIMM, 'embed_dims': 28, 'num_heads': 7}
        options = {**SMALL, 'deform_ratio': 1.0, 'deform_num_heads': heads, 'n_points': points}
        official = in_official_names(model(trunk, **options))
        form = detect(official)
        guess = describe(form, official, {'num_heads': 7})
        assert str(heads * points) in guess.guesses['n_points']
        model(**guess.options).load_state_dict(convert(official))
        for given in ({'n_points': points}, {'deform_num_heads': heads}):
            told = describe(form, official, {'vit': {'num_heads': 7}, **given})
            assert (told.options['n_points'], told.options['deform_num_heads']) == (points, heads)
        assert 'n_points' not in describe(form, official, {'num_heads': 7, 'n_points': points}).guesses
        with pytest.raises(CheckpointError, match='n_points=11 does not divide'):
            describe(form, official, {'num_heads': 7, 'n_points': 11})

    @pytest.mark.parametrize('model', [ViTCoMer, ViTAdapter])
    def test_convolutions_in_the_vit(self, model):
        source = model({**TIMM, 'conv_blocks': (1, 3), 'conv_block_kind': 'basic'}, **SMALL)
        official = in_official_names(source)
        told = describe(detect(official), official, {'num_heads': 2})
        assert told.options['vit']['conv_blocks'] == (1, 3)
        model(**told.options).load_state_dict(convert(official))

    @pytest.mark.parametrize('interact', [True, False])
    def test_networks_in_the_injection_alone(self, interact):
        source = ViTCoMer(dict(TIMM), **SMALL, with_cffn=False, cnn_feature_interaction=interact)
        official = in_official_names(source)
        if not interact:  # the official code keeps norms that nothing reads
            official['interactions.3.extra_CTIs.3.query_norm.weight'] = torch.zeros(16)
        told = describe(VIT_COMER, official, {'num_heads': 2}).options
        assert (told['with_cffn'], told['cffn_ratio']) == (False, 0.25)
        if interact:
            ViTCoMer(**told).load_state_dict(convert(official))

    def test_everything_that_the_weights_do_not_tell(self):
        official = in_official_names(ViTAdapter(dict(TIMM), **SMALL))
        told = describe(VIT_ADAPTER, official, {'num_heads': 2})
        assert list(told.guesses) == ['n_points', 'vit_feature', 'vit.window_size', 'interaction_indexes']
        given = {'vit': {'num_heads': 2, 'window_size': 3}, 'n_points': 4, 'vit_feature': 'stagewise'}
        told = describe(VIT_ADAPTER, official, {**given, 'interaction_indexes': [[0, 0], [1, 1], [2, 2], [3, 3]]})
        assert not told.guesses
        assert (told.options['vit_feature'], told.options['vit']['window_size']) == ('stagewise', 3)


class TestHeads:
    def test_of_the_decoder_of_mimdet(self):
        vit = {**VIT, 'num_layers': 2, 'patch_size': 16, 'pretrain_img_size': 48}
        decoder = {'embed_dims': 24, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 16}
        weights = MIMDet(vit=vit, decoder=decoder).state_dict()
        assert {'vit.num_heads', 'decoder.num_heads'} > describe(MIMDET, weights, {'num_heads': 4}).guesses.keys()
        told = describe(MIMDET, weights, {'num_heads': 4, 'decoder': {'num_heads': 2}})
        assert not told.guesses
        assert told.options['decoder']['num_heads'] == 2

    @pytest.mark.parametrize('heads', [5, 0, -2, 1.5])
    def test_that_do_not_divide_the_channels(self, heads):
        weights = {**PlainViT(**VIT, with_cls_token=True).state_dict(), 'head.weight': torch.zeros(2)}
        with pytest.raises(CheckpointError, match=rf'must divide the 32 channels of the ViT, got {heads}'):
            describe(TIMM_VIT, weights, {'num_heads': heads})

    def test_of_eva02_in_a_width_that_nobody_published(self, tmp_path):
        """They order the channels, so that files are converted by them: those given, or those of the model."""
        model = redraw(
            PlainViT(
                **VIT, with_cls_token=True, rope={'kind': 'eva02'}, qkv_bias='qv', ffn='swiglu', img_size=32
            ).requires_grad_(False)
        )
        official, order = {}, half_pairing(8).argsort()
        for name, tensor in model.state_dict().items():
            if '.attn.qkv.' in name:
                parts = [part.unflatten(0, (-1, 8))[:, order].flatten(0, 1) for part in tensor.chunk(3)[:2]]
                query, key, value = *parts, tensor.chunk(3)[2]
                if name.endswith('bias'):
                    official[name.replace('qkv.bias', 'q_bias')], official[name.replace('qkv.bias', 'v_bias')] = (
                        query,
                        value,
                    )
                    continue
                tensor = torch.cat([query, key, value])
            official[name] = tensor
        official['mask_token'] = torch.zeros(1, 1, 32)
        assert detect(official) is EVA02
        with pytest.raises(CheckpointError, match='give num_heads'):
            convert(official)
        converted = convert(official, num_heads=4)
        assert all(
            torch.equal(converted[name], tensor)
            for name, tensor in model.state_dict().items()
            if 'qkv.bias' not in name
        )
        torch.save(official, tmp_path / 'eva02.pth')
        loaded = PlainViT(**VIT, with_cls_token=True, rope={'kind': 'eva02'}, qkv_bias='qv', ffn='swiglu', img_size=32)
        ViTPretrained(tmp_path / 'eva02.pth')(loaded)
        assert torch.equal(loaded.blocks[1].attn.qkv.weight, model.blocks[1].attn.qkv.weight)


@pytest.mark.parametrize(
    ('preset', 'families'),
    [
        ('lingbot-vision-giant', ('lingbot-vision',)),
        ('lingbot-vision-small', ('dinov3', 'lingbot-vision')),
        ('dinov3-huge-plus', ('dinov3',)),
        ('dinov3-7b', ('dinov3',)),
    ],
)
def test_whose_dinov3_it_is(preset, families):
    """Of the giant alone the names and shapes tell; both licences are to be read for the others."""
    with torch.device('meta'):
        weights = PlainViT(preset=preset, num_layers=1).state_dict()
    assert families_of(weights) == families


class TestTimm:
    """One layout of many pre-trainings."""

    @staticmethod
    def guesses(**changes):
        weights = PlainViT(
            **{**VIT, 'embed_dims': 192, 'num_layers': 12, 'num_heads': 3}, with_cls_token=True, img_size=32
        )
        weights = {**weights.state_dict(), 'head.weight': torch.zeros(2), **changes}
        return describe(TIMM_VIT, {name: tensor for name, tensor in weights.items() if tensor is not None}).guesses

    def test_positions_follow_a_rule_that_is_not_in_the_file(self):
        guesses = self.guesses()
        assert list(guesses) == ['pos_resize', 'act']
        assert "'gelu_tanh' is that of augreg" in guesses['act']
        assert '3 x 5 with one' in self.guesses(pos_embed=torch.zeros(1, 16, 192))['pretrain_img_size']

    def test_the_row_of_the_class_token_in_an_oblong_table(self):
        vit = PlainViT(**{**VIT, 'embed_dims': 192, 'num_heads': 3}, with_cls_token=True, img_size=(24, 40))
        options = describe(TIMM_VIT, dict(vit.state_dict()), {'pretrain_img_size': (24, 40), 'num_heads': 3}).options
        assert PlainViT(**options).pos_embed.shape == vit.pos_embed.shape

    @pytest.mark.parametrize('sign', ['decoder', 'iBOT', 'sines'])
    def test_unless_the_family_is(self, sign):
        sines = torch.cat([torch.zeros(1, 1, 192), sincos_position_table((4, 4), 192)], dim=1)
        signs = {
            'decoder': {'decoder_embed.weight': torch.zeros(1)},
            'iBOT': {'masked_embed': torch.zeros(1)},
            'sines': {'pos_embed': sines},
        }
        assert not self.guesses(**signs[sign])

    def test_clip_and_siglip(self):
        norms = {f'norm_pre.{kind}': torch.zeros(192) for kind in ('weight', 'bias')}
        norms.update({f'norm.{kind}': torch.zeros(192) for kind in ('weight', 'bias')})
        assert 'quick_gelu' in self.guesses(**norms)['act']
        siglip = {'cls_token': None, 'pos_embed': torch.zeros(1, 16, 192), 'attn_pool.latent': torch.zeros(1)}
        assert "exact 'gelu'" in self.guesses(**siglip)['act']

    def test_names_of_deit_3(self):
        """timm has rotary positions under the same names and shapes."""
        gains = {f'blocks.{i}.gamma_{j}': torch.zeros(192) for i in range(12) for j in (1, 2)}
        assert 'rotary positions' in self.guesses(**gains, pos_embed=torch.zeros(1, 16, 192))['rope']
