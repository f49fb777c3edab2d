"""SinCosPositions: a position table from the formula."""

import math

import pytest
import torch

from mmvitdense.models import PlainViT, SimpleFeaturePyramid

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8}


@pytest.mark.parametrize('rows_first', [False, True])
@pytest.mark.parametrize('slot', [False, True])
def test_the_formula(rows_first, slot):
    """Sine and cosine of one coordinate, then of the other; frequencies fall from 1."""
    config = {'type': 'SinCosPositions', 'rows_first': rows_first}
    vit = PlainViT(**SMALL, img_size=(24, 40), pos_embed_cls_slot=slot, init_cfg=config)
    vit.init_weights()
    table = vit.pos_embed[0]
    if slot:
        assert not table[0].any()
        table = table[1:]
    for row in range(3):
        for column in range(5):
            first, second = (row, column) if rows_first else (column, row)
            angles = [[place * 10000 ** (-k / 4) for k in range(4)] for place in (first, second)]
            expected = [function(angle) for axis in angles for function in (math.sin, math.cos) for angle in axis]
            torch.testing.assert_close(table[5 * row + column], torch.tensor(expected))
    assert vit.pos_embed.requires_grad


def test_after_pretrained_weights(tmp_path):
    source = PlainViT(**SMALL, img_size=32, with_cls_token=True)
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    first = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth')}
    vit = PlainViT(**SMALL, img_size=32, init_cfg=[first, {'type': 'SinCosPositions'}])
    vit.init_weights()
    assert torch.equal(vit.blocks[1].attn.qkv.weight, source.blocks[1].attn.qkv.weight)
    assert vit.pos_embed[0, 0].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4 + [1.0] * 4


def test_nothing_to_fill():
    with pytest.raises(
        ValueError, match="needs a PlainViT with pos_embed='absolute', got SimpleFeaturePyramid without"
    ):
        SimpleFeaturePyramid(8, init_cfg={'type': 'SinCosPositions'}).init_weights()
