"""timm's layout: from timm and back, and from others into timm's models."""

from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import CheckpointError, convert
from mmvitdense.checkpoints.to_timm import to_timm
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

SIZES = {'img_size': 40, 'patch_size': 8, 'embed_dim': 32, 'depth': 2, 'num_heads': 4, 'num_classes': 0}
LN = partial(nn.LayerNorm, eps=1e-6)


def vit(**options):
    module = pytest.importorskip('timm.models.vision_transformer')
    return module.VisionTransformer(**{**SIZES, 'norm_layer': LN, **options})


def swiglu():
    layers = pytest.importorskip('timm.layers')
    options = {'mlp_layer': layers.SwiGLUPacked, 'act_layer': nn.SiLU, 'mlp_ratio': 3, 'init_values': 1e-5}
    return vit(img_size=70, patch_size=14, **options)


def sam():
    module = pytest.importorskip('timm.models.vision_transformer_sam')
    return module.VisionTransformerSAM(
        **SIZES, norm_layer=LN, use_rel_pos=True, window_size=3, global_attn_indexes=(1,), neck_chans=16
    )


def beit(**options):
    module = pytest.importorskip('timm.models.beit')
    return module.Beit(**SIZES, norm_layer=LN, use_abs_pos_emb=False, init_values=0.1, **options)


MODELS = {
    'plain': vit,
    'deit3': partial(vit, no_embed_class=True, init_values=1e-5),
    'registers': partial(vit, reg_tokens=3, no_embed_class=True, init_values=1e-5),
    'clip': partial(vit, pre_norm=True),
    'siglip': partial(vit, class_token=False, global_pool='map'),
    'dinov2-giant': swiglu,
    'sam': sam,
    'beit': partial(beit, use_rel_pos_bias=True),
    'beit-shared': partial(beit, use_shared_rel_pos_bias=True),
}


@pytest.mark.parametrize('kind', MODELS)
def test_there_and_back(kind):
    model = redraw(MODELS[kind]())
    official = model.state_dict()
    weights = to_timm(convert(official))
    # Indices are computed from the sizes.
    official = {name: tensor for name, tensor in official.items() if not name.endswith('relative_position_index')}
    renamed = {name.replace('fc_norm', 'norm') for name in official} if 'norm.weight' not in official else set(official)
    assert set(weights) == renamed
    for name in set(official) & set(weights):
        assert torch.equal(weights[name], official[name]), name


def test_registers_with_a_position_of_the_class_token():
    """As DINOv2 has it: timm adds the position to the token, which computes the same."""
    ours = redraw(
        PlainViT(
            embed_dims=32,
            num_layers=2,
            num_heads=4,
            feedforward_channels=128,
            patch_size=8,
            img_size=40,
            with_cls_token=True,
            num_registers=3,
            final_norm='last',
            layer_scale_init=1.0,
        )
    ).eval()
    theirs = MODELS['registers']().eval()
    theirs.load_state_dict(to_timm(ours.state_dict()))
    image = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        wanted = theirs.forward_features(image)[:, 4:].transpose(1, 2).unflatten(2, (5, 5))
        assert_within(ours(image)[0], wanted, OUTPUTS, 'patches')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'pos_embed': None, 'rope': {'kind': 'dinov3'}}, 'rotary'),
        ({'ffn': 'swiglu', 'rope': {'kind': 'eva02'}}, 'EVA-02'),
        ({'conv_blocks': (0,)}, 'blocks.0.residual'),
        ({'attn_inner_norm': True}, 'blocks.0.attn.inner_norm'),
        ({'rel_pos': 'decomposed', 'with_cls_token': True}, 'no class token'),
        ({'rel_pos': 'decomposed', 'pos_embed_cls_slot': True}, 'no position of a class token'),
        ({'rel_pos': 'bias', 'pos_embed': None}, 'no bias of the keys'),
    ],
)
def test_what_timm_has_not(options, message):
    model = redraw(PlainViT(embed_dims=32, num_layers=2, num_heads=4, img_size=32, patch_size=8, **options))
    with pytest.raises(CheckpointError, match=f'timm has no layout for these weights: .*{message}'):
        to_timm(model.state_dict())
