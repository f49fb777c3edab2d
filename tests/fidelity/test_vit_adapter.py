"""ViT-Adapter: numbers of the official code (detection, segmentation), and its published sizes."""

import pytest
import torch

from mmvitdense.checkpoints import convert, detect
from mmvitdense.checkpoints.formats.dinov3 import FORMAT as DINOV3_FORMAT
from mmvitdense.checkpoints.formats.vit_adapter import FORMAT as VIT_ADAPTER
from mmvitdense.models import ViTAdapter
from tests.fidelity.adapters import (
    Golden,
    assert_gradients_of_one_image,
    assert_padding_is_cropped,
    build_published,
    totals,
)
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within

# What the weights do not determine.
UNTOLD = {
    'vitadapter_det': {},
    'vitadapter_det_window': {'vit': {'window_size': [5, 5, 0, 5, 5, 0]}},
    'beitadapter_seg': {'vit_feature': 'stagewise'},
}


@pytest.fixture(scope='module', params=list(UNTOLD))
def golden(request):
    return Golden(request.param), dict(UNTOLD[request.param])


def test_outputs(golden):
    golden, untold = golden
    golden.assert_outputs(golden.build(**untold))


def test_each_stage(golden):
    golden, untold = golden
    golden.assert_stages(golden.build(**untold))


def test_gradients(golden):
    golden, untold = golden
    golden.assert_gradients(golden.build(**untold))


@pytest.mark.parametrize(('height', 'width'), [(83, 101), (64, 99), (33, 128)])
def test_odd_sizes(golden, height, width):
    golden, untold = golden
    assert_padding_is_cropped(golden.build(**untold), height, width)


@pytest.mark.parametrize('training', [False, True], ids=['evaluation', 'training'])
def test_gradients_of_a_single_image(golden, training):
    golden, untold = golden
    assert_gradients_of_one_image(golden.build(**untold).train(training), golden.image)


class TestUniPerceiver:
    """Golden file of the encoder alone, in an adapter whose other weights are random."""

    def build(self, golden):
        options = {'deform_num_heads': 2, 'conv_inplane': 8}
        sizes = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'pretrain_img_size': 112}
        around = ViTAdapter({**sizes, 'layer_scale_init': 0.0}, **options).state_dict()
        around = {name: tensor for name, tensor in around.items() if not name.startswith('vit.')}
        official = {**golden.weights, **around}
        assert detect(official) is VIT_ADAPTER
        found = VIT_ADAPTER.options(official, num_heads=2)
        found['vit']['window_size'] = [5, 0, 5, 0]
        model = ViTAdapter(**found).eval()
        model.load_state_dict(convert(official))
        return model

    def test_tokens_and_gradient(self):
        golden = Golden('uniperceiver_trunk')
        vit = self.build(golden).vit
        image = golden.image.clone().requires_grad_()
        tokens = vit.run_blocks(*vit.embed(image))
        assert_within(tokens, golden.parts['out']['tokens'], OUTPUTS, 'tokens')
        (tokens * golden.parts['cot']['tokens']).sum().backward()
        assert_within(image.grad, golden.parts['grad']['image'], GRADIENTS, 'image')

    def test_the_norms_of_the_adapter_have_the_same_epsilon(self):
        model = self.build(Golden('uniperceiver_trunk'))
        assert {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-5}


DINOV3 = {
    'use_injector': False,
    'extract_normed': True,
    'vit_feature': 'stagewise',
    'deform_num_heads': 16,
    'deform_ratio': 0.5,
    'norm_eps': 1e-6,
    'drop_path_rate': 0.3,
}
"""The adapter of DINOv3, as the docstring of `ViTAdapter` names it."""


class TestDINOv3:
    """Golden file of the official adapter around a small DINOv3, whose epsilon is not that of the adapter."""

    golden = Golden('dinov3_adapter')

    def build(self, **changed):
        backbone = {n.removeprefix('backbone.'): x for n, x in self.golden.weights.items() if n.startswith('backbone.')}
        around = {n: x for n, x in self.golden.weights.items() if not n.startswith('backbone.')}
        vit = {**DINOV3_FORMAT.options(backbone), 'frozen_stages': 5}
        assert (vit['norm_eps'], vit['final_norm']) == (1e-5, 'all')
        stages = [[0, 0], [1, 2], [3, 3], [4, 4]]
        model = ViTAdapter(vit, stages, conv_inplane=8, **{**DINOV3, **changed}).eval()
        weights = around | {f'vit.{name}': x for name, x in DINOV3_FORMAT.convert(backbone).items()}
        missing = model.load_state_dict(weights, strict=False).missing_keys
        assert all(name.endswith('num_batches_tracked') for name in missing)
        return model

    def test_outputs(self):
        self.golden.assert_outputs(self.build())

    def test_taps(self):
        model, taps = self.build(), self.golden.parts['mid']
        tokens, grid = model.vit.embed(self.golden.image)
        for index, (start, stop) in enumerate(model.stages):
            tokens = model.vit.run_blocks(tokens, grid, start, stop)
            assert_within(model.features(tokens)[:, 5:], taps[f'tap{index}'], OUTPUTS, f'tap {index}')

    def test_gradients(self):
        """Of the adapter; the ViT gets none."""
        model = self.build()
        outputs = model(self.golden.image)
        sum((x * c).sum() for x, c in zip(outputs, self.golden.parts['cot'].values())).backward()
        parameters = dict(model.named_parameters())
        assert len(self.golden.parts['grad']) > 50
        for name, wanted in self.golden.parts['grad'].items():
            assert_within(parameters[name].grad, wanted, GRADIENTS, name)
        assert all(parameter.grad is None for parameter in model.vit.parameters())

    @pytest.mark.parametrize('changed', [{'extract_normed': False}, {'vit_feature': 'last'}])
    def test_each_option_counts(self, changed):
        with pytest.raises(AssertionError, match='of the standard deviation'):
            self.golden.assert_outputs(self.build(**changed))

    def test_epsilon(self):
        model = self.build()
        found = [{m.eps for m in part.modules() if isinstance(m, torch.nn.LayerNorm)} for part in model.children()]
        assert (found[0], set.union(*found[1:])) == ({1e-5}, {1e-6})

    @pytest.mark.parametrize(
        ('arch', 'count'), [('small', 3_698_432), ('base', 10_193_984), ('large', 16_654_272), ('7b', 227_084_736)]
    )
    def test_official_sizes(self, arch, count):
        with torch.device('meta'):
            model = ViTAdapter({'preset': f'dinov3-{arch}'}, **DINOV3)
        assert sum(p.numel() for name, p in model.named_parameters() if not name.startswith('vit.')) == count

    def test_a_vit_without_the_norm_is_refused(self):
        with pytest.raises(ValueError, match="needs a ViT that norms all its maps, got final_norm='last'"):
            ViTAdapter({'embed_dims': 32, 'num_heads': 2, 'num_layers': 4, 'final_norm': 'last'}, **DINOV3)


TIMM = {'pos_embed_cls_slot': True, 'layer_scale_init': 1.0}
BEIT = {'qkv_bias': 'qv', 'rel_pos': 'bias', 'pos_embed': None, 'layer_scale_init': 1e-6}
WINDOWS = {'window_size': [14, 14, 14, 14, 14, 56] * 4, 'rel_pos_at': 'window'}
UNI_PERCEIVER = {'pre_norm': True, 'norm_eps': 1e-5, 'layer_scale_init': 0.0}
LSJ = {'num_extra_extractors': 0}
LIGHT = {**LSJ, 'interaction_indexes': [[0, 11]], 'cffn_ratio': None, 'vit_feature': None}


@pytest.mark.parametrize(
    ('arch', 'vit', 'options', 'expected'),
    [
        ('tiny', TIMM, {}, (7_966_640, 410, 380)),
        ('small', TIMM, {}, (27_503_888, 410, 380)),
        ('base', TIMM, {}, (99_495_392, 410, 380)),
        ('large', TIMM, {}, (326_584_512, 578, 548)),
        ('large', {**TIMM, 'pretrain_img_size': 384}, {}, (326_584_512 + 389_120, 578, 548)),
        ('base', {'pos_embed_cls_slot': True}, LSJ, (97_468_736, 346, 316)),
        ('base', TIMM, LIGHT, (91_394_432, 263, 233)),
        ('base', UNI_PERCEIVER, {}, (99_502_304, 413, 383)),
        ('large', UNI_PERCEIVER, {}, (326_593_728, 581, 551)),
        ('large', {**BEIT, **WINDOWS}, {}, (327_380_032, 649, 595)),
    ],
)
def test_published_sizes(arch, vit, options, expected):
    assert totals(build_published(ViTAdapter, arch, vit, **options)) == expected


@pytest.mark.parametrize(
    ('arch', 'img_size', 'expected'),
    [
        ('base', 480, 99_837_344),
        ('base', 512, 99_907_616),
        ('large', 480, 327_697_088),
        ('large', 512, 327_884_480),
        ('large', 640, 328_756_928),
        ('large', 896, 331_091_648),
    ],
)
def test_published_sizes_of_beit_for_segmentation(arch, img_size, expected):
    model = build_published(ViTAdapter, arch, {**BEIT, 'with_cls_token': True, 'pretrain_img_size': img_size})
    assert totals(model) == (expected, *{'base': (446, 404), 'large': (650, 596)}[arch])
