"""Maps after blocks: the suite of backbones, the border, the norm, class tokens."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import PlainViT, ViTTaps
from tests.fidelity.agreement import redraw
from tests.models.suite import BackboneSuite

VIT = {
    'embed_dims': 32,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 48,
    'pretrain_img_size': 42,
    'patch_size': 14,
    'with_cls_token': True,
    'final_norm': 'all',
}
OF_THE_VIT = ('drop_path_rate', 'frozen_stages', 'with_cp')


class TestViTTaps(BackboneSuite):
    model_class = ViTTaps
    patch_size = 14
    trunk = 'vit.'
    variants = {
        'two': {'vit': VIT, 'out_indices': (1, 3)},
        'at-the-end': {'vit': {**VIT, 'num_registers': 2}, 'out_indices': -1, 'centre': False},
    }
    compiled = exported = {'two': {'vit': {**VIT, 'num_layers': 2}, 'out_indices': (0, 1)}}

    def build(self, options):
        """With options of the ViT that the suite gives."""
        of_vit = {name: options[name] for name in OF_THE_VIT if name in options}
        others = {name: value for name, value in options.items() if name not in of_vit}
        return super().build({**others, 'vit': {**options['vit'], **of_vit}})

    def strides_and_channels(self, options):
        return [(14, 32)] * (1 if options['out_indices'] == -1 else 2)


@pytest.fixture
def vit():
    return redraw(PlainViT(**VIT)).eval()


def test_the_border_is_on_both_sides_the_smaller_half_first(vit):
    image = torch.randn(2, 3, 30, 47)  # 12 and 9 pixels are missing
    bordered = F.pad(image, (4, 5, 6, 6))
    assert bordered.shape[-2:] == (42, 56)
    assert torch.equal(ViTTaps(vit)(image)[0], vit.intermediate(bordered, 1, norm=True)[0])
    assert torch.equal(ViTTaps(vit, centre=False)(image)[0], vit.intermediate(image, 1, norm=True)[0])


@pytest.mark.parametrize('norm', [True, False])
def test_norm_and_class_tokens(vit, norm):
    image = torch.randn(2, 3, 28, 42)
    pairs = ViTTaps(vit, (0, -1), norm=norm, with_cls_token=True)(image)
    tokens, grid = vit.embed(image)
    for (found, token), start, stop in zip(pairs, (0, 1), (1, 4)):
        tokens = vit.run_blocks(tokens, grid, start, stop)
        expected = vit.norm(tokens) if norm else tokens
        torch.testing.assert_close(token, expected[:, 0])
        torch.testing.assert_close(found, expected[:, 1:].mT.unflatten(2, grid))


@pytest.mark.parametrize(
    ('changes', 'options', 'words'),
    [
        ({'final_norm': None}, {}, "give vit=dict\\(final_norm='all'\\), or norm=False"),
        ({'with_cls_token': False}, {'with_cls_token': True}, 'needs a ViT with a class token'),
        ({}, {'out_indices': 4}, 'out_indices must be between -4 and 3'),
    ],
)
def test_what_cannot_be(changes, options, words):
    with pytest.raises(ValueError, match=words):
        ViTTaps(VIT | changes, **options)
