"""Weights in the layouts around timm's, converted, against timm's models.

Every parameter of a small random model is drawn anew, written with the names of the published files, converted, and the
features of all patches are compared at the table's grid and at another, oblong one. timm smooths position tables
whatever the model, so there the rule is set to timm's where the official one is another; the official rules have tests
of their own. The official code of MAE, DINO, iBOT, MoCo v3, SimMIM and EVA does not install, so the names of their
files are written from the tables of keys, and timm's modules compute.
"""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import CheckpointError, detect, fit_to_vit, read_checkpoint
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

pytest.importorskip('timm')
TINY = {'patch_size': 8, 'embed_dim': 192, 'depth': 2, 'num_heads': 3, 'num_classes': 0}
NORM = partial(nn.LayerNorm, eps=1e-6)
SIZES = [(32, 32), (40, 56)]
SMOOTH = {'pos_resize': {'by': 'size', 'antialias': True}}


def load(weights, name, **overrides):
    """A model with the options that the format reads off the weights, with these weights."""
    form = detect(weights)
    assert name == form.NAME
    model = PlainViT(**form.options(weights, **overrides)).eval()
    kept, report = fit_to_vit(form.convert(weights), model)
    assert not report.missing
    assert not report.resized
    model.load_state_dict(kept)
    return model, report


def compare(oracle, weights, name, size, left_over=(), **overrides):
    """Load ``weights`` and compare with what ``oracle`` computes for all patches."""
    model, report = load(weights, name, **overrides)
    assert sorted(report.left_over) == sorted(left_over)
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        tokens = oracle(image)
        patches = size[0] // model.patch_size * (size[1] // model.patch_size)
        expected = tokens[:, -patches:].transpose(1, 2).unflatten(2, (size[0] // model.patch_size, -1))
        assert_within(model(image)[-1], expected, OUTPUTS, 'patch features')
    return model


def rename(weights, *rules):
    renamed = {}
    for name, tensor in weights.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


def timm_vit(**options):
    vit = pytest.importorskip('timm.models.vision_transformer')
    options = {'img_size': 32, 'norm_layer': NORM, 'dynamic_img_size': True, **options}
    return redraw(vit.VisionTransformer(**{**TINY, **options})).eval()


@pytest.mark.parametrize('size', SIZES)
class TestTimmFamily:
    """MAE, DeiT, AugReg, DINO, iBOT and MoCo v3 have one architecture; only prefixes and leftovers differ."""

    def test_plain(self, size):
        oracle = timm_vit()
        compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, **SMOOTH)

    def test_mae_with_its_decoder(self, size):
        oracle = timm_vit()
        extra = {'decoder_embed.weight': torch.zeros(8, 192), 'mask_token': torch.zeros(1, 1, 8)}
        extra.update(
            {'decoder_blocks.0.attn.qkv.weight': torch.zeros(24, 8), 'decoder_pos_embed': torch.zeros(1, 17, 8)}
        )
        compare(oracle.forward_features, {**oracle.state_dict(), **extra}, 'timm ViT', size, extra, **SMOOTH)

    def test_ibot(self, size):
        oracle = timm_vit()
        weights = {f'module.backbone.{name}': tensor for name, tensor in oracle.state_dict().items()}
        weights.update(
            {'module.backbone.masked_embed': torch.zeros(1, 192), 'module.head.mlp.0.weight': torch.zeros(2)}
        )
        model = compare(oracle.forward_features, weights, 'timm ViT', size, ['masked_embed'], **SMOOTH)
        assert model.pos_resize == SMOOTH['pos_resize']
        assert detect(weights).options(weights)['pos_resize'] == {'by': 'scale'}

    def test_moco_v3(self, size):
        oracle = timm_vit()
        base = {f'module.base_encoder.{name}': tensor for name, tensor in oracle.state_dict().items()}
        base['module.base_encoder.head.0.weight'] = torch.zeros(4, 192)
        momentum = {name.replace('base', 'momentum'): tensor + 1 for name, tensor in base.items()}
        compare(oracle.forward_features, {**momentum, **base}, 'timm ViT', size, ['head.0.weight'], **SMOOTH)

    def test_deit_3(self, size):
        oracle = timm_vit(no_embed_class=True, init_values=1.0)
        weights = rename(oracle.state_dict(), (r'ls([12])\.gamma', r'gamma_\1'))
        compare(oracle.forward_features, weights, 'timm ViT', size, **SMOOTH)

    def test_distilled_deit(self, size):
        deit = pytest.importorskip('timm.models.deit')
        oracle = deit.VisionTransformerDistilled(img_size=32, norm_layer=NORM, dynamic_img_size=True, **TINY)
        redraw(oracle).eval()
        model = compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, **SMOOTH)
        assert model.num_prefix_tokens == 2

    def test_mean_pooled(self, size):
        """Fine-tuned MAE norms the mean; the norm is taken for the patches."""
        oracle = timm_vit(global_pool='avg')
        assert 'norm.weight' not in oracle.state_dict()
        weights = oracle.state_dict()
        compare(lambda x: oracle.fc_norm(oracle.forward_features(x)), weights, 'timm ViT', size, **SMOOTH)

    def test_clip_in_timm(self, size):
        oracle = timm_vit(pre_norm=True, norm_layer=partial(nn.LayerNorm, eps=1e-5), act_layer='quick_gelu')
        model = compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, act='quick_gelu')
        assert model.norm.eps == 1e-5

    def test_siglip_in_timm(self, size):
        oracle = timm_vit(class_token=False, global_pool='map', act_layer='gelu_tanh')
        pool = [name for name in oracle.state_dict() if name.startswith('attn_pool.')]
        compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, pool, act='gelu_tanh')


def test_heads_of_moco_v3_small():
    """Its positions are known sines, and 384 channels have 12 heads there; MAE's axes are the other way round."""
    vit = PlainViT('small', num_layers=1, img_size=64, with_cls_token=True)
    omega = 10000.0 ** -(torch.arange(96) / 96)
    for columns_first, heads in ((False, 12), (True, 6)):
        rows = torch.zeros(17, 384)
        for y in range(4):
            for x in range(4):
                first, second = (x, y) if columns_first else (y, x)
                parts = [f(i * omega) for i in (first, second) for f in (torch.sin, torch.cos)]
                rows[1 + 4 * y + x] = torch.cat(parts)
        weights = {**vit.state_dict(), 'pos_embed': rows[None]}
        assert detect(weights).options(weights)['num_heads'] == heads


def beit(**options):
    module = pytest.importorskip('timm.models.beit')
    options = {'use_abs_pos_emb': False, 'init_values': 0.1, 'norm_layer': NORM, **options}
    return redraw(module.Beit(**{**TINY, **options})).eval()


class TestBeit:
    """At the grid of the table, which is not square here; other grids go by the official rule, not by timm's."""

    @pytest.mark.parametrize('size', [(32, 32), (32, 48)])
    @pytest.mark.parametrize('kind', ['use_rel_pos_bias', 'use_shared_rel_pos_bias'])
    def test_tables(self, size, kind):
        oracle = beit(img_size=size, **{kind: True}, global_pool='token')
        extra = {'mask_token': torch.zeros(1, 1, 192), 'lm_head.weight': torch.zeros(4, 192)}
        prefix = 'rel_pos_bias.' if 'shared' in kind else 'blocks.0.attn.'
        extra_all = {**extra, f'{prefix}relative_position_index': torch.zeros(17, 17, dtype=torch.long)}
        weights = {**oracle.state_dict(), **extra_all}
        compare(oracle.forward_features, weights, 'BEiT', size, extra, pretrain_img_size=size)

    def test_fine_tuned(self):
        oracle = beit(img_size=32, use_rel_pos_bias=True, global_pool='avg')
        weights = oracle.state_dict()
        assert 'fc_norm.weight' in weights
        compare(lambda x: oracle.fc_norm(oracle.forward_features(x)), weights, 'BEiT', (32, 32))

    def test_simmim(self):
        oracle = beit(img_size=32, use_shared_rel_pos_bias=True, global_pool='token')
        weights = {f'encoder.{name}': tensor for name, tensor in oracle.state_dict().items()}
        weights.update({'encoder.mask_token': torch.zeros(1, 1, 192), 'decoder.0.weight': torch.zeros(3, 192, 1, 1)})
        compare(oracle.forward_features, weights, 'SimMIM ViT', (32, 32), ['mask_token'])


@pytest.mark.parametrize('size', SIZES)
class TestDinov2:
    def options(self, swiglu):
        layers = pytest.importorskip('timm.layers')
        gated = {'mlp_ratio': 2.66667 * 2, 'mlp_layer': layers.SwiGLUPacked, 'act_layer': nn.SiLU}
        return {'init_values': 1.0, **(gated if swiglu else {})}

    def official(self, oracle, swiglu, mask=True):
        weights = dict(oracle.state_dict())
        if swiglu:
            weights = rename(weights, (r'mlp\.fc1', 'mlp.w12'), (r'mlp\.fc2', 'mlp.w3'))
        if 'reg_token' in weights:
            # timm has the position of the class token inside it.
            weights['register_tokens'] = weights.pop('reg_token')
            row = torch.randn(1, 1, 192)
            weights['cls_token'] = weights['cls_token'] - row
            weights['pos_embed'] = torch.cat([row, weights['pos_embed']], dim=1)
        return {**weights, 'mask_token': torch.zeros(1, 192)}

    @pytest.mark.parametrize('swiglu', [False, True])
    def test_without_registers(self, size, swiglu):
        oracle = timm_vit(**self.options(swiglu))
        weights = self.official(oracle, swiglu)
        assert detect(weights).options(weights)['pos_resize'] == {'by': 'scale', 'offset': 0.1}
        compare(oracle.forward_features, weights, 'DINOv2', size, ['mask_token'], **SMOOTH)

    @pytest.mark.parametrize('swiglu', [False, True])
    def test_with_registers(self, size, swiglu):
        oracle = timm_vit(reg_tokens=4, no_embed_class=True, **self.options(swiglu))
        compare(oracle.forward_features, self.official(oracle, swiglu), 'DINOv2', size, ['mask_token'])
        compare(oracle.forward_features, oracle.state_dict(), 'DINOv2', size)

    def test_chunks(self, size):
        """Training keeps blocks in chunks and numbers them through: blocks.1.1 is the second block."""
        oracle = timm_vit(**self.options(False))
        weights = rename(self.official(oracle, False), (r'^blocks\.(\d)\.', r'blocks.\1.\1.'))
        weights = {f'teacher.backbone.{name}': tensor for name, tensor in weights.items()}
        compare(oracle.forward_features, weights, 'DINOv2', size, ['mask_token'], **SMOOTH)

    def test_in_timm_by_the_patch(self, size):
        """timm has dropped the mask token; patches of 14 pixels are left as the sign."""
        oracle = timm_vit(patch_size=14, img_size=56, **self.options(False))
        size = tuple(side // 8 * 14 for side in size)
        compare(oracle.forward_features, oracle.state_dict(), 'DINOv2', size, **SMOOTH)


def eva(**options):
    module = pytest.importorskip('timm.models.eva')
    options = {'img_size': 32, 'norm_layer': NORM, 'dynamic_img_size': True, 'use_rot_pos_emb': True, **options}
    return redraw(module.Eva(**{**TINY, **options})).eval()


@pytest.mark.parametrize('size', SIZES)
class TestDinov3:
    @staticmethod
    def oracle(**options):
        return eva(
            init_values=1.0,
            rope_type='dinov3',
            rope_temperature=100,
            rope_rotate_half=True,
            use_abs_pos_emb=False,
            num_reg_tokens=4,
            use_fc_norm=False,
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
            **options,
        )

    @staticmethod
    def official(oracle, mask=(1.0, 0.0, 1.0)):
        rules = (
            (r'^reg_token$', 'storage_tokens'),
            (r'gamma_([12])', r'ls\1.gamma'),
            (r'fc1_g', 'w1'),
            (r'fc1_x', 'w2'),
        )
        weights = rename(oracle.state_dict(), *rules)
        if 'blocks.0.mlp.w1.weight' in weights:
            weights = rename(weights, (r'mlp\.fc2', 'mlp.w3'))
        for block in range(2):
            if f'blocks.{block}.attn.q_bias' in weights:
                query, value = (weights.pop(f'blocks.{block}.attn.{part}_bias') for part in 'qv')
                weights[f'blocks.{block}.attn.qkv.bias'] = torch.cat([query, torch.randn(192), value])
                weights[f'blocks.{block}.attn.qkv.bias_mask'] = torch.tensor(mask).repeat_interleave(192)
        weights['rope_embed.periods'] = 100.0 ** (torch.arange(16) / 16)
        return {**weights, 'mask_token': torch.zeros(1, 192)}

    @pytest.mark.parametrize('options', [{}, {'swiglu_mlp': True, 'swiglu_align_to': 8}, {'qkv_bias': False}])
    def test_timm(self, size, options):
        oracle = self.oracle(**options)
        compare(oracle.forward_features, oracle.state_dict(), 'DINOv3', size)

    @pytest.mark.parametrize('options', [{}, {'swiglu_mlp': True, 'swiglu_align_to': 8}, {'qkv_bias': False}])
    def test_official(self, size, options):
        oracle = self.oracle(**options)
        compare(oracle.forward_features, self.official(oracle), 'DINOv3', size, ['mask_token'])

    def test_a_mask_that_was_never_filled(self, size):
        oracle = self.oracle()
        compare(oracle.forward_features, self.official(oracle, (torch.nan,) * 3), 'DINOv3', size, ['mask_token'])

    def test_rounded_periods(self, size):
        """The published files hold bfloat16; the result differs a little from that of timm, which has float32."""
        oracle = self.oracle()
        weights = self.official(oracle)
        weights['rope_embed.periods'] = weights['rope_embed.periods'].bfloat16()
        rounded, _ = load(weights, 'DINOv3')
        image = torch.randn(1, 3, *size)
        expected = rounded(image)[0]
        rounded.rope.periods_dtype = torch.float32
        difference = (rounded(image)[0] - expected).abs().max()
        assert 1e-5 < difference < 0.2 * expected.std()


@pytest.mark.parametrize('size', SIZES)
class TestEva02:
    FUSED = {'mlp_ratio': 4 * 2 / 3, 'swiglu_mlp': True, 'ref_feat_shape': (16, 16)}
    SPLIT = {**FUSED, 'qkv_fused': False, 'scale_mlp': True}
    CLIP = {**SPLIT, 'scale_attn_inner': True, 'global_pool': 'token'}

    @pytest.mark.parametrize('options', [FUSED, SPLIT, CLIP], ids=['fused', 'split', 'clip'])
    def test_timm(self, size, options):
        oracle = eva(**{'global_pool': 'token', **options})
        compare(oracle.forward_features, oracle.state_dict(), 'EVA-02', size, **SMOOTH)

    @pytest.mark.parametrize('options', [FUSED, SPLIT, CLIP], ids=['fused', 'split', 'clip'])
    def test_official(self, size, options):
        oracle = eva(**{'global_pool': 'token', **options})
        weights = rename(
            oracle.state_dict(),
            (r'attn\.([qv])_proj\.bias', r'attn.\1_bias'),
            (r'attn\.norm\.', 'attn.inner_attn_ln.'),
            (r'mlp\.norm\.', 'mlp.ffn_ln.'),
            (r'fc1_g', 'w1'),
            (r'fc1_x', 'w2'),
            (r'mlp\.fc1', 'mlp.w12'),
            (r'mlp\.fc2', 'mlp.w3'),
        )
        weights = {f'visual.{name}': tensor for name, tensor in weights.items()}
        weights.update(
            {'visual.rope.freqs_cos': torch.zeros(256, 64), 'visual.blocks.0.attn.rope.freqs_sin': torch.zeros(256, 64)}
        )
        compare(oracle.forward_features, weights, 'EVA-02', size, **SMOOTH)

    def test_eva_01(self, size):
        oracle = eva(use_rot_pos_emb=False, global_pool='token')
        compare(oracle.forward_features, oracle.state_dict(), 'EVA-02', size, **SMOOTH)


@pytest.mark.parametrize('layout', ['timm', 'official'])
@pytest.mark.parametrize('size', [(64, 64), (40, 56)])
def test_sam(size, layout):
    sam = pytest.importorskip('timm.models.vision_transformer_sam')
    oracle = sam.VisionTransformerSAM(
        img_size=64, **TINY, global_attn_indexes=(1,), window_size=3, use_rel_pos=True, neck_chans=16, norm_layer=NORM
    )
    redraw(oracle).eval()
    weights = oracle.state_dict()
    if layout == 'official':
        weights = rename(weights, (r'mlp\.fc', 'mlp.lin'), (r'^', 'image_encoder.'))
        weights['mask_decoder.iou_token.weight'] = torch.zeros(1, 4)
    neck = [name for name in oracle.state_dict() if name.startswith('neck.')]

    def run(image):
        (maps,) = oracle.forward_intermediates(image, indices=[1], intermediates_only=True)
        return maps.flatten(2).transpose(1, 2)

    model = compare(run, weights, 'SAM', size, neck, **SMOOTH)
    assert (model.window_size, model.global_blocks) == (3, (1,))


class TestFlax:
    """Arrays in the shapes of Flax; timm's own loader of such files fills the oracle."""

    @staticmethod
    def arrays(style, siglip=False):
        generator = np.random.default_rng(0)
        shapes = {'embedding/kernel': (8, 8, 3, 192), 'embedding/bias': (192,)}
        if not siglip:
            shapes['cls'] = (1, 1, 192)
        name = 'Transformer/posembed_input/pos_embedding' if style == 'augreg' else 'pos_embedding'
        shapes[name] = (1, 16 if siglip else 17, 192)
        attention, second, mlp = ('_1', '_2', '_3') if style == 'augreg' else ('_0', '_1', '_0')
        block = {f'LayerNorm{number}/{kind}': (192,) for number in ('_0', second) for kind in ('scale', 'bias')}
        for part in ('query', 'key', 'value'):
            block[f'MultiHeadDotProductAttention{attention}/{part}/kernel'] = (192, 3, 64)
            block[f'MultiHeadDotProductAttention{attention}/{part}/bias'] = (3, 64)
        block[f'MultiHeadDotProductAttention{attention}/out/kernel'] = (3, 64, 192)
        block[f'MultiHeadDotProductAttention{attention}/out/bias'] = (192,)
        for number, (inner, outer) in enumerate([(192, 768), (768, 192)]):
            block[f'MlpBlock{mlp}/Dense_{number}/kernel'] = (inner, outer)
            block[f'MlpBlock{mlp}/Dense_{number}/bias'] = (outer,)
        for name, shape in block.items():
            if style == 'scanned':
                shapes[f'Transformer/encoderblock/{name}'] = (2, *shape)
            else:
                shapes.update({f'Transformer/encoderblock_{i}/{name}': shape for i in range(2)})
        shapes.update({f'Transformer/encoder_norm/{kind}': (192,) for kind in ('scale', 'bias')})
        prefix = '' if style == 'augreg' else 'params/'
        return {
            f'{prefix}{name}': (name.endswith('scale') + 0.2 * generator.standard_normal(shape)).astype(np.float32)
            for name, shape in shapes.items()
        }

    @pytest.mark.parametrize('style', ['augreg', 'big_vision', 'scanned'])
    def test_file(self, tmp_path, style):
        arrays = self.arrays(style)
        if style == 'augreg':
            arrays['head/kernel'] = np.zeros((192, 5), np.float32)
        np.savez(tmp_path / 'vit.npz', **arrays)
        oracle = timm_vit(act_layer='gelu_tanh')
        oracle.load_pretrained(str(tmp_path / 'vit.npz'))
        weights = read_checkpoint(tmp_path / 'vit.npz')
        left_over = ['head/kernel'] if style == 'augreg' else []
        for size in SIZES:
            model = compare(oracle.forward_features, weights, 'Flax ViT', size, left_over, **SMOOTH)
        assert model.num_heads == 3
        assert model.blocks[0].mlp.act_name == 'gelu_tanh'

    def test_without_class_token(self, tmp_path):
        np.savez(tmp_path / 'vit.npz', **self.arrays('big_vision', siglip=True))
        oracle = timm_vit(class_token=False, global_pool='avg', fc_norm=False, act_layer='gelu_tanh')
        oracle.load_pretrained(str(tmp_path / 'vit.npz'))
        compare(oracle.forward_features, read_checkpoint(tmp_path / 'vit.npz'), 'Flax ViT', (40, 56), **SMOOTH)

    def test_bfloat16(self, tmp_path):
        """numpy keeps its two bytes without knowing what they mean."""
        numbers = torch.randn(3, 4).bfloat16()
        np.savez(tmp_path / 'a.npz', a=numbers.view(torch.int16).numpy().view('V2'))
        assert torch.equal(read_checkpoint(tmp_path / 'a.npz')['a'], numbers)

    def test_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / 'a.npz', a=np.array([{}], dtype=object))
        with pytest.raises(CheckpointError, match=r'a\.npz holds pickled objects'):
            read_checkpoint(tmp_path / 'a.npz')
