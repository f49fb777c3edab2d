"""The type hints of a constructor are the check of its options."""

import pytest
import torch

from mmvitdense.models.backbones import PlainViT, ViTHook, ViTTaps
from mmvitdense.models.mask_transformers import PMT
from mmvitdense.option_types import check_options

VIT = {'arch': 'tiny', 'num_layers': 4, 'embed_dims': 24, 'num_heads': 2}
HOOK = {'vit': VIT, 'deform_num_heads': 2, 'conv_inplane': 4}


@pytest.mark.parametrize(
    ('build', 'options', 'message'),
    [
        (PlainViT, {**VIT, 'frozen_stages': True}, 'frozen_stages must be a whole number or a text, got True'),
        (PlainViT, {**VIT, 'with_cp': 'no'}, "with_cp must be True or False, got 'no'"),
        (PlainViT, {**VIT, 'drop_path_rate': 1}, 'drop_path_rate must be a number of at least 0 and below 1, got 1'),
        (PlainViT, {**VIT, 'drop_path_rate': float('nan')}, 'got nan'),
        (PlainViT, {**VIT, 'out_indices': [True]}, 'out_indices must be a whole number or a list of whole numbers'),
        (
            PlainViT,
            {**VIT, 'rope': {'kind': 'dinov3', 'rescale': 0.5}},
            'rescale must be a number of at least 1 or None',
        ),
        (ViTTaps, {'vit': VIT, 'out_indices': 'all'}, "out_indices must be .* got 'all'"),
        (ViTHook, {**HOOK, 'num_hooks': 1.5}, 'num_hooks must be a whole number of at least 1, got 1.5'),
        (ViTHook, {**HOOK, 'cffn_ratio': 0}, 'cffn_ratio must be a number above 0 or None, got 0'),
        (ViTHook, {**HOOK, 'norm_cfg': 'BN'}, "norm_cfg must be a dict or None, got 'BN'"),
        (
            PMT,
            {'vit': VIT, 'num_classes': 2, 'rope_rescale': -1},
            'rope_rescale must be a number of at least 1 or None',
        ),
    ],
)
def test_refused(build, options, message):
    with torch.device('meta'), pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize('value', [1, 2.5, None])
def test_accepted(value):
    def takes(number: float | None = None, other: 'Undefined' = 3):  # noqa: F821
        pass

    check_options(takes, value, other='anything')


def test_what_is_missing_is_left_to_the_call():
    with pytest.raises(TypeError, match='num_classes'):
        PMT(vit=VIT)
