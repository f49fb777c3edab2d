"""The plain ViT against timm's VisionTransformer and transformers' ViTModel."""

import re
from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import convert
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import assert_agreement

SMALL = {'embed_dims': 48, 'num_layers': 4, 'num_heads': 3, 'feedforward_channels': 96, 'patch_size': 8}


class TestTimmViT:
    """The plain ViT at the native grid, which is not square here."""

    SIZE = (40, 64)

    def test_class_token(self):
        self.compare({}, {'with_cls_token': True})

    def test_no_class_token(self):
        self.compare({'class_token': False, 'global_pool': 'avg', 'fc_norm': False}, {})

    def test_layer_scale_without_a_position_of_the_class_token(self):
        self.compare(
            {'init_values': 1.0, 'no_embed_class': True},
            {'with_cls_token': True, 'pos_embed_cls_slot': False, 'layer_scale_init': 1.0},
        )

    def test_registers(self):
        self.compare(
            {'reg_tokens': 3, 'no_embed_class': True},
            {'with_cls_token': True, 'num_registers': 3, 'pos_embed_cls_slot': False},
        )

    def test_pre_norm(self):
        # timm takes the bias from the patch embedding where a norm follows; ours keeps it and gets zeros.
        self.compare({'pre_norm': True}, {'with_cls_token': True, 'pre_norm': True})

    def test_no_bias(self):
        self.compare({'qkv_bias': False}, {'with_cls_token': True, 'qkv_bias': False})

    def test_norm_of_the_last_output_alone(self):
        self.compare({}, {'with_cls_token': True, 'final_norm': 'last'})

    def compare(self, timm_options, options):
        timm = pytest.importorskip('timm.models.vision_transformer')
        options = {'final_norm': 'all', **options}
        ours = PlainViT(**SMALL, img_size=self.SIZE, out_indices=(0, 2, 3), **options)
        oracle = timm.VisionTransformer(
            img_size=self.SIZE,
            patch_size=SMALL['patch_size'],
            num_classes=0,
            embed_dim=SMALL['embed_dims'],
            depth=SMALL['num_layers'],
            num_heads=SMALL['num_heads'],
            mlp_ratio=SMALL['feedforward_channels'] / SMALL['embed_dims'],
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            **timm_options,
        )
        takes = partial(oracle.forward_intermediates, indices=[0, 2, 3], intermediates_only=True)

        def run(image):
            if options['final_norm'] == 'all':
                return takes(image, norm=True)
            return [*takes(image, norm=False)[:-1], takes(image, norm=True)[-1]]

        if timm_options.get('pre_norm'):
            # A parameter of the oracle too, so that its gradient is known.
            oracle.patch_embed.proj.bias = nn.Parameter(torch.zeros(SMALL['embed_dims']))
        names = self.own_names if 'reg_tokens' in timm_options else convert
        assert_agreement(ours, oracle, torch.randn(2, 3, *self.SIZE), names, run)

    @staticmethod
    def own_names(tensors):
        return {name.replace('reg_token', 'register_tokens'): tensor for name, tensor in tensors.items()}


def _names_of_transformers_vit(tensors):
    renames = (
        (r'^embeddings\.cls_token$', 'cls_token'),
        (r'^embeddings\.position_embeddings$', 'pos_embed'),
        (r'^embeddings\.patch_embeddings\.projection', 'patch_embed.proj'),
        (r'^layernorm\.', 'norm.'),
        (r'^(encoder\.layer|layers)\.', 'blocks.'),
        (r'layernorm_before', 'norm1'),
        (r'layernorm_after', 'norm2'),
        (r'attention\.(attention\.)?(query|q_proj)\.', 'attn.0.'),
        (r'attention\.(attention\.)?(key|k_proj)\.', 'attn.1.'),
        (r'attention\.(attention\.)?(value|v_proj)\.', 'attn.2.'),
        (r'attention\.(output\.dense|o_proj)\.', 'attn.proj.'),
        (r'(intermediate\.dense|mlp\.fc1)\.', 'mlp.fc1.'),
        (r'(?<!attn\.)(output\.dense|mlp\.fc2)\.', 'mlp.fc2.'),
    )
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, new in renames:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    for name in [name for name in renamed if '.attn.0.' in name]:
        parts = [renamed.pop(name.replace('.attn.0.', f'.attn.{part}.')) for part in range(3)]
        renamed[name.replace('.attn.0.', '.attn.qkv.')] = torch.cat(parts)
    return renamed


@pytest.mark.parametrize('size', [(56, 56), (48, 88)], ids=['native', 'resized'])
def test_transformers_vit(size):
    """transformers resizes the table as MAE and detectron2 do, so any size agrees."""
    transformers = pytest.importorskip('transformers')
    config = transformers.ViTConfig(
        hidden_size=SMALL['embed_dims'],
        num_hidden_layers=SMALL['num_layers'],
        num_attention_heads=SMALL['num_heads'],
        intermediate_size=SMALL['feedforward_channels'],
        image_size=56,
        patch_size=SMALL['patch_size'],
        layer_norm_eps=1e-6,
    )
    oracle = transformers.ViTModel(config, add_pooling_layer=False)
    ours = PlainViT(**SMALL, img_size=56, with_cls_token=True, final_norm='last')

    def run(image):
        tokens = oracle(image, interpolate_pos_encoding=True).last_hidden_state
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, (size[0] // 8, size[1] // 8))]

    assert_agreement(ours, oracle, torch.randn(2, 3, *size), _names_of_transformers_vit, run)
