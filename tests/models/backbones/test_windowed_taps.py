"""Taps of windows: the suite of backbones, windows cut by hand, what stays frozen."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import PlainViT, WindowedTaps
from tests.fidelity.agreement import redraw
from tests.models.suite import BackboneSuite

from .test_vit_taps import OF_THE_VIT

VIT = {
    'embed_dims': 16,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 24,
    'pretrain_img_size': 32,
    'patch_size': 8,
    'with_cls_token': True,
    'final_norm': 'all',
}


class TestWindowedTaps(BackboneSuite):
    model_class = WindowedTaps
    patch_size = 8
    trunk = 'vit.'
    variants = {
        'windows': {'vit': VIT, 'out_indices': (1, 3), 'num_windows': 2},
    }
    # The ViT five times, which takes a compiler long.
    compiled = exported = ()

    def build(self, options):
        """With options of the ViT that the suite gives."""
        of_vit = {name: options[name] for name in OF_THE_VIT if name in options}
        others = {name: value for name, value in options.items() if name not in of_vit}
        return super().build({**others, 'vit': {**options['vit'], **of_vit}})

    def strides_and_channels(self, options):
        return [(8, 64)]


@pytest.fixture
def vit():
    return redraw(PlainViT(**VIT)).eval()


@pytest.mark.parametrize(
    ('size', 'rows', 'columns'),
    [
        # Three windows of 40 // 3 pixels, rounded up to patches; the last takes the rest.
        ((40, 72), [16, 16, 8], [24, 24, 24]),
        ((40, 56), [16, 16, 8], [24, 24, 8]),
        # Of 16 pixels there are two.
        ((32, 24), [16, 16], [8, 8, 8]),
        # Of whole patches: 37 and 21 pixels have zeros behind them.
        ((37, 21), [16, 16, 8], [8, 8, 8]),
    ],
)
def test_windows_cut_by_hand(vit, size, rows, columns):
    image = torch.randn(2, 3, *size)
    model = WindowedTaps(vit, num_windows=3)
    assert model.out_indices == (0, 1, 2, 3)
    (found,) = model(image)
    image = F.pad(image, (0, sum(columns) - size[1], 0, sum(rows) - size[0]))

    def taps(part):
        return torch.cat(vit.intermediate(part, 4, norm=True), dim=1)

    expected, top = [], 0
    for height in rows:
        parts, left = [], 0
        for width in columns:
            parts.append(taps(image[:, :, top : top + height, left : left + width]))
            left += width
        expected.append(torch.cat(parts, dim=-1))
        top += height
    expected = torch.cat(expected, dim=-2)
    torch.testing.assert_close(found[:, 64:], expected)
    small = F.interpolate(image, (rows[0], columns[0]), mode='bilinear', antialias=True)
    whole = F.interpolate(taps(small), expected.shape[-2:], mode='bilinear')
    torch.testing.assert_close(found[:, :64], whole, rtol=1e-4, atol=1e-5)


def test_a_frozen_trunk_of_dinov3_is_the_same_in_training():
    """Its positions are scaled at random in training, see DINOv3's `rescale_coords`."""
    rope = {'kind': 'dinov3', 'rescale': 2.0}
    vit = {**VIT, 'pos_embed': None, 'rope': rope}
    image = torch.randn(1, 3, 32, 32)
    model = WindowedTaps({**vit, 'frozen_stages': 'all'}).train()
    assert torch.equal(model(image)[0], model(image)[0])
    assert not model(image)[0].requires_grad
    model = WindowedTaps(vit).train()
    assert not torch.equal(model(image)[0], model(image)[0])


@pytest.mark.parametrize(
    ('changes', 'options', 'words'),
    [
        ({'final_norm': None}, {}, "give vit=dict\\(final_norm='all'\\), or norm=False"),
        ({'num_layers': 3}, {}, 'got None with a ViT of 3 blocks; expected four blocks or more'),
        ({}, {'num_windows': 1}, 'num_windows got 1, which is the image as it is; expected 0, or 2 and more'),
    ],
)
def test_what_cannot_be(changes, options, words):
    with pytest.raises(ValueError, match=words):
        WindowedTaps(VIT | changes, **options)
