"""Weights in the layouts around timm's, converted, against timm's models.

Every parameter of a small random model is drawn anew, written with the names of the published files, converted, and the
features of all patches are compared at the table's grid and at another, oblong one. timm smooths position tables
whatever the model, so there the rule is set to timm's where the official one is another; the official rules have tests
of their own. The official code of MAE, DINO, iBOT, MoCo v3, SimMIM and EVA does not install, so the names of their
files are written from the tables of keys, and timm's modules compute.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from mmvitdense.checkpoints import detect
from mmvitdense.layers.positions import sincos_position_table
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import redraw
from tests.fidelity.pretraining import NORM, SIZES, SMOOTH, TINY, compare, rename, timm_vit


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
        compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, pool, act='gelu_tanh', **SMOOTH)

    @pytest.mark.parametrize(('class_token', 'registers'), [(True, 3), (False, 4), (False, 1)])
    def test_positions_of_registers(self, size, class_token, registers):
        """As in vit_so150m_patch16_reg4_map_256 and vit_so150m2_patch16_reg1_gap_256."""
        oracle = timm_vit(class_token=class_token, global_pool='', reg_tokens=registers)
        compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, **SMOOTH)


@pytest.mark.parametrize('first', [False, True])
def test_torchvision(first):
    """With the names of today, and those of the files that were published first."""
    sizes = {'image_size': 32, 'patch_size': 8, 'num_layers': 2, 'num_heads': 3, 'hidden_dim': 192, 'mlp_dim': 64}
    oracle = redraw(VisionTransformer(**sizes)).eval()
    weights = dict(oracle.state_dict())
    if first:
        weights = rename(weights, (r'mlp\.0\.', 'mlp.linear_1.'), (r'mlp\.3\.', 'mlp.linear_2.'))

    def run(image):
        patches = oracle._process_input(image)
        return oracle.encoder(torch.cat([oracle.class_token.expand(len(image), -1, -1), patches], dim=1))

    compare(run, weights, 'torchvision ViT', (32, 32), ['heads.head.weight', 'heads.head.bias'])


def test_what_looks_like_siglip():
    """I-JEPA has sines, and timm's models with norms behind the parts of a block have no biases."""
    without = {'class_token': False, 'global_pool': ''}
    oracle = timm_vit(**without)
    weights = dict(oracle.state_dict())
    form = detect(weights)
    assert form.families(weights) == ('siglip', 'siglip2')
    assert form.notes(weights) == ()
    assert form.families({**weights, 'pos_embed': sincos_position_table((4, 4), 192, 'sincos_mae')}) == ()
    weights = dict(timm_vit(**without, qkv_bias=False).state_dict())
    assert form.families(weights) == ()
    assert 'vit_*_rpn_*' in form.notes(weights)[0]


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
        assert detect(weights).options(weights)['pos_resize'] == {'by': 'scale'}
        compare(oracle.forward_features, weights, 'DINOv2', size, ['mask_token'], **SMOOTH)

    @pytest.mark.parametrize('swiglu', [False, True])
    def test_with_registers(self, size, swiglu):
        oracle = timm_vit(reg_tokens=4, no_embed_class=True, **self.options(swiglu))
        compare(oracle.forward_features, self.official(oracle, swiglu), 'DINOv2', size, ['mask_token'])
        compare(oracle.forward_features, oracle.state_dict(), 'DINOv2', size)

    def test_tips_in_timm(self, size):
        """Two class tokens instead of one and four registers. timm resizes the positions as it does all others."""
        oracle = timm_vit(reg_tokens=1, no_embed_class=True, **self.options(False))
        weights = oracle.state_dict()
        assert detect(weights).options(weights)['pos_resize'] == {'mode': 'bilinear', 'antialias': True}
        compare(oracle.forward_features, weights, 'TIPS', size, **SMOOTH)

    def test_other_registers_of_timm(self, size):
        """RADIO's, whose positions timm resizes as all others, and timm's own beside no class token."""
        for options, rule in (
            ({'reg_tokens': 7, 'final_norm': False}, SMOOTH),
            ({'reg_tokens': 4, 'class_token': False, 'global_pool': ''}, {}),
        ):
            oracle = timm_vit(no_embed_class=True, **options, **self.options(False))
            compare(oracle.forward_features, oracle.state_dict(), 'timm ViT', size, **rule)

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
    assert (model.window_sizes, model.global_blocks) == ((3,), (1,))
