"""Rotary positions: angles by their formulas, rotation as a product of complex numbers, augmentation."""

import math

import numpy as np
import pytest
import torch

from mmvitdense.layers import build_rope, half_pairing
from mmvitdense.layers.positions.rotary import Rotation, rotate

CPU = torch.device('cpu')


def angles(rotation):
    return np.angle(rotation.cos.numpy() + 1j * rotation.sin.numpy())


def assert_same_angles(rotation, expected):
    difference = np.angle(np.exp(1j * (angles(rotation) - np.array(expected))))
    np.testing.assert_allclose(difference, 0.0, atol=2e-5)


@pytest.mark.parametrize('normalize', ['separate', 'min', 'max'])
@pytest.mark.parametrize('grid', [(3, 5), (4, 2)])
def test_angles_of_dinov3(normalize, grid):
    (whole,) = build_rope({'kind': 'dinov3', 'base': 50.0, 'normalize': normalize}, 16)(grid, (), CPU)
    sides = {'separate': grid, 'min': (min(grid),) * 2, 'max': (max(grid),) * 2}[normalize]
    expected = []
    for y in range(grid[0]):
        for x in range(grid[1]):
            coordinates = [2 * (i + 0.5) / side - 1 for i, side in zip((y, x), sides)]
            expected.append([2 * math.pi * c / 50.0 ** (2 * j / 8) for c in coordinates for j in range(4)])
    assert_same_angles(whole, expected)


@pytest.mark.parametrize('grid', [(3, 5), (16, 16)])
def test_angles_of_eva02(grid):
    whole, window = build_rope({'kind': 'eva02', 'theta': 1000.0, 'pretrain_grid': 16}, 12)(grid, (2,), CPU)
    for rotation, (height, width) in ((whole, grid), (window, (2, 2))):
        expected = [
            [t * 1000.0 ** (-2 * j / 6) for t in (y / height * 16, x / width * 16) for j in range(3)]
            for y in range(height)
            for x in range(width)
        ]
        assert_same_angles(rotation, expected)


@pytest.mark.parametrize('options', [{'offset': 1}, {'pretrain_grid': 6}])
def test_angles_by_the_index(options):
    """As it is, or such that the longer side, and a window, spans the grid of the pre-training."""
    whole, window = build_rope({'kind': 'axial', 'theta': 1000.0, **options}, 12)((3, 5), (2,), CPU)
    for rotation, (height, width) in ((whole, (3, 5)), (window, (2, 2))):
        factor = options.get('pretrain_grid', width) / width
        expected = [
            [(i + options.get('offset', 0)) * factor * 1000.0 ** (-2 * j / 6) for i in (x, y) for j in range(3)]
            for y in range(height)
            for x in range(width)
        ]
        assert_same_angles(rotation, expected)
        assert rotation.of_neighbours


def test_windows_of_dinov3_keep_the_distances_of_the_image():
    whole, window = build_rope({'kind': 'dinov3'}, 16)((6, 9), (3,), CPU)
    whole, window = angles(whole).reshape(6, 9, 8), angles(window).reshape(3, 3, 8)
    for top, left in ((0, 0), (3, 6)):
        part = whole[top : top + 3, left : left + 3]
        difference = np.exp(1j * (part - part[:1, :1])) - np.exp(1j * (window - window[:1, :1]))
        np.testing.assert_allclose(difference, 0.0, atol=1e-5)


def test_rounded_periods():
    (rotation,) = build_rope({'kind': 'dinov3', 'periods_dtype': 'bfloat16'}, 16)((1, 3), (), CPU)
    periods = (100.0 ** (torch.arange(4) / 4)).bfloat16().double()
    expected = [[0.0] * 4 + [2 * math.pi * c / p for p in periods.tolist()] for c in (-2 / 3, 0.0, 2 / 3)]
    assert_same_angles(rotation, expected)


def test_rotation_is_a_product_of_complex_numbers():
    tokens, turn = torch.randn(2, 3, 5, 8, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    numbers = torch.complex(tokens[..., :4], tokens[..., 4:]) * torch.polar(torch.ones_like(turn), turn)
    expected = torch.cat([numbers.real, numbers.imag], dim=-1)
    torch.testing.assert_close(rotate(tokens, Rotation(turn.cos(), turn.sin())), expected)


def test_half_pairing_replaces_neighbouring_channels():
    """Logits of interleaved rotation, written out, are those of `rotate` on permuted channels."""
    query, key, turn = torch.randn(6, 8).double(), torch.randn(6, 8).double(), torch.randn(6, 4).double()

    def interleaved(tokens):
        numbers = torch.complex(tokens[:, 0::2], tokens[:, 1::2]) * torch.polar(torch.ones_like(turn), turn)
        return torch.stack([numbers.real, numbers.imag], dim=-1).flatten(1)

    order, rotation = half_pairing(8), Rotation(turn.cos(), turn.sin())
    assert sorted(order.tolist()) == list(range(8))
    ours = rotate(query[:, order], rotation) @ rotate(key[:, order], rotation).T
    torch.testing.assert_close(ours, interleaved(query) @ interleaved(key).T)
    torch.testing.assert_close(rotate(query, rotation._replace(of_neighbours=True)), interleaved(query))


def test_tokens_before_the_patches_are_untouched():
    (whole,) = build_rope({'kind': 'dinov3'}, 8)((2, 2), (), CPU)
    tokens = torch.randn(1, 1, 7, 8)
    turned = rotate(tokens, whole.prepend(3))
    assert torch.equal(turned[:, :, :3], tokens[:, :, :3])
    assert torch.equal(turned[:, :, 3:], rotate(tokens[:, :, 3:], whole))
    assert whole.prepend(0) is whole


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bits_are_rotated_in_float32(dtype):
    (whole,) = build_rope({'kind': 'eva02'}, 8)((8, 8), (), CPU)
    tokens = torch.randn(1, 64, 8).to(dtype)
    turned = rotate(tokens, whole)
    assert turned.dtype == dtype
    assert torch.equal(turned, rotate(tokens.float(), whole).to(dtype))


class TestAugmentation:
    def test_is_for_training_alone(self):
        rope = build_rope({'kind': 'dinov3', 'shift': 1.0, 'jitter': 2.0, 'rescale': 2.0}, 8)
        plain = build_rope({'kind': 'dinov3'}, 8)
        assert torch.equal(rope.eval()((3, 3), (), CPU)[0].cos, plain.train()((3, 3), (), CPU)[0].cos)
        assert not torch.equal(rope.train()((3, 3), (), CPU)[0].cos, rope((3, 3), (), CPU)[0].cos)

    @pytest.mark.parametrize(
        ('options', 'scales', 'shifts'),
        [
            ({'shift': 0.5}, (1.0, 1.0), (-0.5, 0.5)),
            ({'jitter': 2.0}, (0.5, 2.0), (0.0, 0.0)),
            ({'rescale': 2.0}, (0.5, 2.0), (0.0, 0.0)),
        ],
    )
    def test_ranges(self, options, scales, shifts):
        """The longest period is so long that angles give the coordinates back."""
        rope = build_rope({'kind': 'dinov3', 'base': 1e4, **options}, 8).train()
        seen = []
        for _ in range(200):
            turned = angles(rope((2, 2), (), CPU)[0]).reshape(2, 2, 2, 2)[..., 1] * 100 / (2 * math.pi)
            rows, columns = turned[:, 0, 0], turned[0, :, 1]
            seen.append([part for axis in (rows, columns) for part in (axis[1] - axis[0], axis.mean())])
        scale_y, shift_y, scale_x, shift_x = np.array(seen).T
        for scale, shift in ((scale_y, shift_y), (scale_x, shift_x)):
            assert scales[0] - 1e-4 <= scale.min() <= scales[0] + 0.2
            assert scales[1] - 0.2 <= scale.max() <= scales[1] + 1e-4
            assert shifts[0] - 1e-4 <= shift.min() <= shifts[0] + 0.1
            assert shifts[1] - 0.1 <= shift.max() <= shifts[1] + 1e-4
        assert np.allclose(scale_y, scale_x, atol=1e-4) == ('jitter' not in options)

    def test_windows_move_with_the_image(self):
        rope = build_rope({'kind': 'dinov3', 'shift': 0.3, 'jitter': 1.5, 'rescale': 1.5}, 8).train()
        whole, window = rope((4, 4), (2,), CPU)
        part = angles(whole).reshape(4, 4, 4)[:2, :2]
        np.testing.assert_allclose(part, angles(window).reshape(2, 2, 4), atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kind': 'mixed'}, r"kind of rope must be one of .*dinov3.*eva02.*axial.* got 'mixed'"),
        ({'kind': 'axial', 'offset': -1}, 'offset .*-1'),
        ({'kind': 'dinov3', 'normalize': 'area'}, "normalize of rope must be one of .*'area'"),
        ({'kind': 'dinov3', 'periods_dtype': 'int8'}, "periods_dtype of rope must be .*'int8'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_rope(options, 8)


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match='multiple of 4 channels, got 6'):
        build_rope({'kind': 'eva02'}, 6)
