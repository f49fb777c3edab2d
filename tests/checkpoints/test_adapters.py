"""ViT-CoMer and ViT-Adapter: official names against those of our models, options, heads, and what is turned away."""

import functools
import re

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import FORMATS, CheckpointError, ViTPretrained, convert, detect, initializer
from mmvitdense.checkpoints.formats.plain_vit import FORMAT as PLAIN_VIT
from mmvitdense.checkpoints.formats.vit_adapter import FORMAT as VIT_ADAPTER
from mmvitdense.checkpoints.formats.vit_comer import FORMAT as VIT_COMER
from mmvitdense.models import PlainViT, ViTAdapter, ViTCoMer
from tests.fidelity.agreement import redraw

TIMM = {
    'embed_dims': 16,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 24,
    'pretrain_img_size': 64,
    'pos_embed_cls_slot': True,
    'layer_scale_init': 1.0,
    'window_pad': 'qkv',
}
BEIT = {
    **{name: TIMM[name] for name in ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')},
    'qkv_bias': 'qv',
    'rel_pos': 'bias',
    'pos_embed': None,
    'layer_scale_init': 1e-6,
}
BEIT_DET = {**BEIT, 'window_size': [3, 3, 3, 5], 'rel_pos_at': 'window'}
BEIT_SEG = {**BEIT, 'with_cls_token': True, 'pretrain_img_size': 64}
SMALL = {'conv_inplane': 4, 'deform_num_heads': 2, 'deform_ratio': 0.5}
TRUNKS = {'timm': TIMM, 'beit-det': BEIT_DET, 'beit-seg': BEIT_SEG}


def in_official_names(model):
    """Undo the differences of naming, one by one, on the state dict of our model."""
    official = {}
    for name, tensor in model.state_dict().items():
        name = name.removeprefix('vit.')
        beit = model.vit.pos_embed is None
        name = re.sub(r'\.ls([12])\.gamma$', r'.gamma_\1' if beit else r'.gamma\1', name)
        if beit and name.endswith('attn.qkv.bias'):
            queries, _, values = tensor.chunk(3)
            official[name.replace('qkv.bias', 'q_bias')] = queries
            official[name.replace('qkv.bias', 'v_bias')] = values
            continue
        official[name] = tensor
        if name.endswith('relative_position_bias_table'):
            official[name.replace('bias_table', 'index')] = torch.zeros(3, 3, dtype=torch.long)
    return official


def in_old_names(official):
    """Of the branch for Co-DETR."""
    renamed = {}
    for name, tensor in official.items():
        for new, old in (
            ('cti_tov', 'injector'),
            ('cti_toc', 'extractor'),
            ('extra_CTIs', 'extra_extractors'),
            ('mrfp', 'multiconv'),
        ):
            name = name.replace(f'.{new}.', f'.{old}.')
        renamed[name] = tensor
    return renamed


def with_zero_key_bias(model):
    for block in model.vit.blocks:
        if block.attn.without_key_bias:
            with torch.no_grad():
                block.attn.qkv.bias.chunk(3)[1].zero_()
    return model


def build(model, trunk, **options):
    return with_zero_key_bias(redraw(model(dict(TRUNKS[trunk]), **{**SMALL, **options})))


@functools.cache
def built(model, trunk):
    """Like `build`, for tests that only read the weights."""
    return build(model, trunk)


def with_prefix(prefix, weights):
    return {f'{prefix}{name}': tensor for name, tensor in weights.items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


MODELS = {
    'vit-comer': (ViTCoMer, VIT_COMER, lambda weights: weights),
    'vit-comer-old': (ViTCoMer, VIT_COMER, in_old_names),
    'vit-adapter': (ViTAdapter, VIT_ADAPTER, lambda weights: weights),
}


@pytest.fixture(params=list(MODELS))
def kind(request):
    return MODELS[request.param]


@pytest.mark.parametrize('trunk', list(TRUNKS))
class TestNames:
    @pytest.mark.parametrize('prefix', ['', 'backbone.'], ids=['backbone', 'detector'])
    def test_official(self, kind, trunk, prefix):
        model, form, spell = kind
        module = built(model, trunk)
        official = with_prefix(prefix, spell(in_official_names(module)))
        assert [found for found in FORMATS if found.matches(official)] == [form]
        assert_same(convert(official), with_prefix(prefix, module.state_dict()))

    @pytest.mark.parametrize('prefix', ['', 'backbone.'], ids=['backbone', 'detector'])
    def test_ours_pass_unchanged(self, kind, trunk, prefix):
        weights = with_prefix(prefix, built(kind[0], trunk).state_dict())
        weights = {**weights, 'roi_head.bbox_head.fc_cls.bias': torch.zeros(3)} if prefix else weights
        assert [found for found in FORMATS if found.matches(weights)] == [PLAIN_VIT]
        assert_same(convert(weights), weights)

    def test_options_build_the_model(self, kind, trunk):
        model, form, spell = kind
        module = built(model, trunk)
        official = spell(in_official_names(module))
        options = form.options(official, num_heads=2)
        model(**options).load_state_dict(convert(official))
        del options['vit']['with_cls_token']
        expected = {**TRUNKS[trunk], 'patch_size': 16}
        # Where all tables are those of windows, there is no grid of a pre-training.
        found = {name: value for name, value in options['vit'].items() if name in expected}
        assert found == {name: value for name, value in expected.items() if name != 'with_cls_token'}
        assert {name: options[name] for name in SMALL} == SMALL


class TestOptionsOfViTCoMer:
    @pytest.mark.parametrize(
        'options',
        [
            {'mrfp_ratio': 1.5},
            {'num_extra_cti': 0},
            {'num_extra_cti': 2, 'cffn_ratio': None},
            {'cffn_ratio': 0.5},
            {'use_cti_tov': [True, False, True, False]},
            {'use_cti_toc': [True, False, False, True]},
            {'cnn_feature_interaction': [True, True, False, True], 'use_cti_toc': True},
            {'deform_ratio': 1.0, 'deform_num_heads': 4},
        ],
        ids=lambda options: '-'.join(options),
    )
    def test_told(self, options):
        official = in_official_names(build(ViTCoMer, 'timm', **options))
        # Norms that have no influence, and no place in our model.
        official['interactions.2.cti_toc.query_norm.bias'] = torch.zeros(16)
        if options.get('use_cti_toc', True) is not True:
            del official['interactions.2.cti_toc.query_norm.bias']
        told = VIT_COMER.options(official, num_heads=2)
        assert {name: told[name] for name in options} == options
        others = {'mrfp_ratio': 0.5, 'num_extra_cti': 4, 'cffn_ratio': 0.25, 'cnn_feature_interaction': True, **SMALL}
        assert {name: told[name] for name in others if name not in options} == {
            name: value for name, value in others.items() if name not in options
        }

    @pytest.mark.parametrize('spell', [lambda weights: weights, in_old_names], ids=['new', 'old'])
    def test_what_has_no_influence_is_dropped(self, spell):
        module = build(ViTCoMer, 'timm', cnn_feature_interaction=False, use_cti_tov=[True, True, False, True])
        official = in_official_names(module)
        dead = [f'interactions.{stage}.cti_toc' for stage in range(4)]
        dead += [f'interactions.3.extra_CTIs.{index}' for index in range(4)]
        for prefix in dead:
            for norm in ('query_norm', 'feat_norm'):
                official[f'{prefix}.{norm}.weight'] = official[f'{prefix}.{norm}.bias'] = torch.ones(16)
        # The segmentation code has it in every stage.
        official['interactions.2.mrfp.fc1.weight'] = torch.ones(8, 16)
        assert_same(convert(spell(official)), module.state_dict())
        options = VIT_COMER.options(spell(official), num_heads=2)
        assert options['cnn_feature_interaction'] is False
        assert options['use_cti_toc'] is True
        assert options['use_cti_tov'] == [True, True, False, True]
        assert options['num_extra_cti'] == 4

    def test_three_stages_are_a_guess_and_said_to_be(self):
        module = build(ViTCoMer, 'timm', interaction_indexes=[[0, 0], [1, 1], [2, 3]])
        options = VIT_COMER.options(in_official_names(module), num_heads=2)
        assert options['interaction_indexes'] == [[0, 1], [2, 2], [3, 3]]
        guesses = VIT_COMER.guesses(in_official_names(module), options)
        assert list(guesses) == ['n_points', 'vit_feature', 'vit.window_size', 'interaction_indexes']
        assert guesses['interaction_indexes'].startswith('3 stages')


class TestOptionsOfViTAdapter:
    @pytest.mark.parametrize(
        'options',
        [
            {'num_extra_extractors': 0},
            {'cffn_ratio': None, 'num_extra_extractors': 1},
            {'use_injector': False},
            {'interaction_indexes': [[0, 3]]},
        ],
        ids=lambda options: '-'.join(options),
    )
    def test_told(self, options):
        module = build(ViTAdapter, 'timm', **options)
        told = VIT_ADAPTER.options(in_official_names(module), num_heads=2)
        assert {name: told[name] for name in options} == options
        ViTAdapter(**told).load_state_dict(convert(in_official_names(module)))

    def test_a_grid_that_is_no_square(self):
        module = ViTAdapter({**BEIT_SEG, 'pretrain_img_size': (64, 96)}, **SMALL)
        official = in_official_names(module)
        with pytest.raises(CheckpointError, match=r'has 80 rows, 3 of them .* give pretrain_img_size'):
            VIT_ADAPTER.options(official)
        told = VIT_ADAPTER.options(official, pretrain_img_size=(64, 96))
        assert told['vit']['num_heads'] == 2
        ViTAdapter(**told).load_state_dict(convert(official))

    def test_windows_of_beit_are_told(self):
        weights = in_official_names(build(ViTAdapter, 'beit-det'))
        guesses = VIT_ADAPTER.guesses(weights, VIT_ADAPTER.options(weights))
        assert list(guesses) == ['n_points', 'vit_feature', 'interaction_indexes']


class TestHeads:
    def test_mask2former_of_mmsegmentation_0(self):
        official = {
            'pixel_decoder.encoder.layers.1.attentions.0.sampling_offsets.bias': 'self_attn.sampling_offsets.bias',
            'pixel_decoder.encoder.layers.1.ffns.0.layers.0.0.weight': 'ffn.layers.0.0.weight',
            'pixel_decoder.encoder.layers.1.norms.1.weight': 'norms.1.weight',
            'transformer_decoder.layers.8.attentions.0.attn.in_proj_weight': 'cross_attn.attn.in_proj_weight',
            'transformer_decoder.layers.8.attentions.1.attn.out_proj.bias': 'self_attn.attn.out_proj.bias',
            'transformer_decoder.layers.8.ffns.0.layers.1.bias': 'ffn.layers.1.bias',
            'transformer_decoder.layers.8.norms.2.bias': 'norms.2.bias',
        }
        backbone = with_prefix('backbone.', in_official_names(build(ViTAdapter, 'timm')))
        for head in ('decode_head', 'panoptic_head'):
            weights = {f'{head}.{name}': torch.randn(2) for name in official}
            found = convert({**backbone, **weights, f'{head}.query_embed.weight': torch.zeros(1)})
            found = {name: tensor for name, tensor in found.items() if name.startswith(head)}
            assert found.pop(f'{head}.query_embed.weight') is not None
            expected = {
                f'{head}.{n[: n.index(".layers.") + 10]}{new}': weights[f'{head}.{n}'] for n, new in official.items()
            }
            assert_same(found, expected)

    def test_they_are_the_names_of_mask2former(self):
        """Of mmdet 3, as it builds the layers."""
        pytest.importorskip('mmdet')
        from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
        from mmdet.models.layers.transformer import DeformableDetrTransformerEncoderLayer

        attention = {'embed_dims': 8, 'num_heads': 2}
        ffn = {'embed_dims': 8, 'feedforward_channels': 16}
        decoder = Mask2FormerTransformerDecoderLayer(
            self_attn_cfg=dict(attention), cross_attn_cfg=dict(attention), ffn_cfg=dict(ffn)
        )
        encoder = DeformableDetrTransformerEncoderLayer(self_attn_cfg=dict(attention), ffn_cfg=dict(ffn))
        assert {'cross_attn', 'self_attn', 'ffn', 'norms'} <= {name for name, _ in decoder.named_children()}
        assert {'self_attn', 'ffn', 'norms'} <= {name for name, _ in encoder.named_children()}

    @pytest.mark.parametrize(
        ('official', 'ours'),
        [
            ('norm2.weight', 'block.norm2.weight'),
            ('attn.qkv.weight', 'block.attn.qkv.weight'),
            ('attn.proj.bias', 'block.attn.proj.bias'),
            ('ffn.fc1.weight', 'block.mlp.fc1.weight'),
            ('gamma_2', 'block.ls2.gamma'),
            ('final_norm.bias', 'final_norm.bias'),
        ],
    )
    def test_attention_before_the_pyramid_of_htc(self, official, ours):
        weights = with_prefix('backbone.', in_official_names(built(ViTAdapter, 'beit-det')))
        weights[f'neck.0.{official}'] = tensor = torch.randn(2)
        converted = convert(weights)
        assert {name: x for name, x in converted.items() if name.startswith('neck.')} == {f'neck.0.{ours}': tensor}
        assert convert(converted).keys() == converted.keys()

    @pytest.mark.parametrize(
        'name',
        [
            'neck.lateral_convs.0.conv.weight',
            'neck.1.fpn_convs.0.conv.weight',
            'rpn_head.rpn_conv.weight',
            'rpn_head.init_proposal_bboxes.weight',
            'roi_head.bbox_head.5.instance_interactive_conv.dynamic_layer.weight',
            'roi_head.bbox_head.shared_fcs.0.weight',
            'roi_head.mask_head.2.convs.0.conv.weight',
            'roi_head.semantic_head.conv_logits.weight',
            'decode_head.psp_modules.0.1.conv.weight',
            'auxiliary_head.conv_seg.bias',
        ],
    )
    def test_others_keep_their_names(self, kind, name):
        model, _, spell = kind
        official = with_prefix('backbone.', spell(in_official_names(built(model, 'timm'))))
        assert name in convert({**official, name: torch.zeros(1)})


class TestTurnedAway:
    def test_an_adapter_of_another_trunk(self):
        """That of DINOv3 holds its ViT under another name."""
        weights = with_prefix('backbone.', ViTAdapter(dict(TIMM), **SMALL).vit.state_dict())
        weights.update(
            {n: x for n, x in ViTAdapter(dict(TIMM), **SMALL).state_dict().items() if not n.startswith('vit.')}
        )
        with pytest.raises(CheckpointError, match='no known ViT format'):
            detect(weights)

    def test_two_adapters(self):
        weights = in_official_names(build(ViTCoMer, 'timm'))
        with pytest.raises(CheckpointError, match='no known ViT format'):
            detect({**with_prefix('left.', weights), **with_prefix('right.', weights)})

    def test_the_average_of_the_weights_is_taken(self):
        weights = in_official_names(build(ViTCoMer, 'timm'))
        other = {name: tensor + 1 for name, tensor in weights.items()}
        found = convert({**with_prefix('student.backbone.', other), **with_prefix('ema.backbone.', weights)})
        assert_same(found, convert(with_prefix('backbone.', weights)))


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(initializer, 'print_log', lambda line, **_: lines.append(line))
    return lines


class TestViTPretrained:
    @pytest.fixture
    def official(self, tmp_path, kind):
        """A file of a whole segmentor in official names, and its backbone."""
        model, _, spell = kind
        module = built(model, 'timm')
        weights = with_prefix('backbone.', spell(in_official_names(module)))
        torch.save({'state_dict': {**weights, 'decode_head.conv_seg.bias': torch.zeros(2)}}, tmp_path / 'official.pth')
        return tmp_path / 'official.pth', module

    @staticmethod
    def init(module, path):
        module.init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(path)}
        module.init_weights()
        return module

    def test_the_whole_backbone(self, official, log):
        path, source = official
        module = self.init(type(source)(dict(TIMM), **SMALL), path)
        assert_same(module.state_dict(), source.state_dict())
        assert log[0].endswith(f'{len(source.state_dict())} tensors loaded')

    def test_our_own_file(self, official, log, tmp_path):
        source = official[1]
        torch.save({'state_dict': with_prefix('backbone.', source.state_dict())}, tmp_path / 'epoch_1.pth')
        module = self.init(type(source)(dict(TIMM), **SMALL), tmp_path / 'epoch_1.pth')
        assert_same(module.state_dict(), source.state_dict())

    def test_positions_are_resized(self, official, log):
        path, source = official
        module = self.init(type(source)({**TIMM, 'pretrain_img_size': 96}, **SMALL), path)
        assert '1 resized: pos_embed 4x4 -> 6x6' in log[0]
        assert torch.equal(module.spm.fc1.weight, source.spm.fc1.weight)

    def test_biases_are_resized(self, tmp_path, log):
        source = build(ViTAdapter, 'beit-det')
        torch.save(in_official_names(source), tmp_path / 'beit.pth')
        self.init(ViTAdapter({**BEIT_DET, 'window_size': [3, 3, 3, 7]}, **SMALL), tmp_path / 'beit.pth')
        assert '1 resized: blocks.3.attn.relative_position_bias_table 5x5 -> 7x7' in log[0]

    @pytest.mark.parametrize(
        ('vit', 'options', 'message'),
        [
            ({}, {'interaction_indexes': [[0, 1], [2, 3]]}, r'the model has no place for \d+, first interactions.2'),
            ({}, {'conv_inplane': 8}, r'another shape .* spm.stem.0.weight \(4, 3, 3, 3\) in the file, \(8'),
            ({}, {'norm_cfg': {'type': 'GN', 'num_groups': 2}}, r'no place for \d+, first spm.stem.1.running_mean'),
            ({'layer_scale_init': None}, {}, 'layer_scale_init'),
            ({'final_norm': 'last'}, {}, 'the checkpoint lacks 2 weights of the model, first vit.norm.weight'),
            ({'feedforward_channels': 32}, {}, 'another shape'),
        ],
    )
    def test_what_does_not_fit(self, official, vit, options, message):
        path, source = official
        with pytest.raises(CheckpointError, match=message):
            self.init(type(source)({**TIMM, **vit}, **{**SMALL, **options}), path)

    def test_of_the_other_model(self, official):
        path, source = official
        other = ViTAdapter if isinstance(source, ViTCoMer) else ViTCoMer
        with pytest.raises(CheckpointError, match=rf'not those of this {other.__name__}: the checkpoint lacks .*; the'):
            self.init(other(dict(TIMM), **SMALL), path)

    def test_a_plain_vit_is_for_the_vit_inside(self, tmp_path):
        torch.save(redraw(PlainViT(**TIMM)).state_dict(), tmp_path / 'vit.pth')
        with pytest.raises(CheckpointError, match=r'holds a plain ViT, not a ViTCoMer: .* vit=dict\(init_cfg='):
            self.init(ViTCoMer(dict(TIMM), **SMALL), tmp_path / 'vit.pth')

    @pytest.mark.parametrize('ours', [False, True], ids=['official', 'ours'])
    def test_the_vit_of_an_adapter_alone(self, official, log, tmp_path, ours):
        path, source = official
        if ours:
            path = tmp_path / 'ours.pth'
            torch.save({'state_dict': with_prefix('backbone.', source.state_dict())}, path)
        vit = self.init(PlainViT(**TIMM), path)
        assert_same(vit.state_dict(), source.vit.state_dict())
        assert re.search(r': 59 tensors loaded; \d+ left over: level_embed, ', log[0])

    def test_options_unlike_those_of_the_file_are_told(self, official, log):
        path, source = official
        self.init(type(source)({**TIMM, 'norm_eps': 1e-5}, **SMALL), path)
        assert 'norm_eps is 1e-05, the weights come with 1e-06' in log[1]

    def test_layer_scale_can_be_folded(self, official):
        path, source = official
        plain = type(source)({**TIMM, 'layer_scale_init': None}, **SMALL)
        ViTPretrained(path, fold_layer_scale=True)(plain)
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            for actual, expected in zip(plain.eval()(image), source.eval()(image)):
                torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_every_format_is_told_from_an_adapter_with_a_head():
    """A whole detector has the names of many formats inside."""
    weights = with_prefix('backbone.', in_official_names(build(ViTCoMer, 'timm')))
    head = nn.Linear(2, 2).state_dict()
    weights.update(with_prefix('roi_head.bbox_head.fc_cls.', head))
    assert detect(weights) is VIT_COMER
