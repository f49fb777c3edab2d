"""The kernel of attention over a map and its windows: that of the definition in float64."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers.positions import axis_table
from mmvitdense.ops import has_map_attention, map_attention

CASES = {
    # images, (h, w), window, prefix, heads, channels of a head
    'whole': (2, (5, 7), 0, 0, 2, 64),
    'prefix-and-a-tail-of-keys': (1, (9, 8), 0, 1, 3, 64),
    'several-blocks-of-queries': (1, (20, 33), 0, 0, 1, 16),
    'windows-over-the-edge': (2, (5, 7), 3, 2, 2, 32),
    'windows-that-fit': (1, (6, 6), 3, 0, 2, 12),
    'a-window-larger-than-the-map': (1, (3, 4), 14, 0, 2, 64),
    'wide-heads': (1, (4, 6), 0, 5, 1, 80),
    'a-long-row': (1, (2, 40), 0, 0, 2, 72),
}


def _expected(qkv, heads, grid, window, fill, tables, offsets=None):
    qkv, (height, width) = qkv.double(), grid
    channels, prefix = qkv.shape[-1], qkv.shape[1] - height * width
    if window:
        rows, columns = -(-height // window), -(-width // window)
        beyond = torch.zeros(channels) if fill is None else fill
        maps = beyond.double().expand(len(qkv), rows * window, columns * window, channels).clone()
        maps[:, :height, :width] = qkv[:, prefix:].unflatten(1, grid)
        qkv = maps.unflatten(2, (columns, window)).unflatten(1, (rows, window)).transpose(2, 3).flatten(3, 4)
        qkv, prefix = qkv.flatten(0, 2), 0
    query, key, value = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if tables is not None:
        side = (window, window) if window else grid
        maps = query[:, :, prefix:].unflatten(2, side)
        of_rows = torch.einsum('bnyxd,ydk->bnyxk', maps, tables[0].double())
        of_columns = torch.einsum('bnyxd,xdk->bnyxk', maps, tables[1].double())
        bias = (of_rows[..., :, None] + of_columns[..., None, :]).flatten(-2).flatten(2, 3)
        logits = logits + F.pad(bias, (prefix, 0, prefix, 0))
    if offsets is not None:
        tall, wide = (window, window) if window else grid
        y, x = (each.flatten() for each in torch.meshgrid(torch.arange(tall), torch.arange(wide), indexing='ij'))
        biases = offsets[0][:, y[None] - y[:, None] + tall - 1, x[None] - x[:, None] + wide - 1]
        bias = F.pad(biases, (prefix, 0, prefix, 0))
        from_prefix, to_prefix, among = offsets[1].T[:, :, None, None]
        bias[:, :prefix, prefix:], bias[:, prefix:, :prefix], bias[:, :prefix, :prefix] = from_prefix, to_prefix, among
        logits = logits + bias.double()
    out = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
    if window:
        out = out.unflatten(1, (window, window)).unflatten(0, (-1, rows, columns)).transpose(2, 3)
        out = out.flatten(3, 4).flatten(1, 2)[:, :height, :width].flatten(1, 2)
    return out


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_against_the_definition(case, dtype):
    if not has_map_attention(dtype):
        pytest.skip(f'this processor, or compiler, has no kernel of attention for {dtype}')
    images, grid, window, prefix, heads, dims = case
    torch.manual_seed(0)
    side = (window, window) if window else grid
    tables = tuple(axis_table(torch.randn(2 * length - 1, dims) / 4, length).transpose(1, 2) for length in side)
    offsets = torch.randn(heads, *(2 * length - 1 for length in side)), torch.randn(heads, 3)
    # A slice of a wider tensor, as no product gives one.
    qkv = torch.randn(images, prefix + grid[0] * grid[1], 3 * heads * dims + 5).to(dtype)[..., 5:]
    for fill in (None, torch.randn(3 * heads * dims).to(dtype)) if window else (None,):
        for given in ((None, None), (tables, None), (None, offsets)):
            out = map_attention(qkv, heads, grid, window, fill, *given)
            expected = _expected(qkv, heads, grid, window, fill, *given)
            assert (out.dtype, out.shape) == (dtype, expected.shape)
            assert (out - expected).norm() < (2e-6 if dtype == torch.float32 else 1e-2) * expected.norm()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_what_is_not_finite_stays_so(dtype):
    if not has_map_attention(dtype):
        pytest.skip(f'this processor, or compiler, has no kernel of attention for {dtype}')
    torch.manual_seed(0)
    for number in (torch.nan, torch.inf, -torch.inf):
        for part in range(3):
            qkv = torch.randn(2, 35, 3 * 32).to(dtype)
            qkv[0, 4, 32 * part + 3] = number
            out, expected = map_attention(qkv, 2, (5, 7)), _expected(qkv, 2, (5, 7), 0, None, None)
            assert torch.equal(out.isfinite(), expected.isfinite()), (number, part)


def test_what_does_not_fit_is_refused():
    if not has_map_attention(torch.float32):
        pytest.skip('this processor, or compiler, has no kernel of attention')
    qkv = torch.randn(1, 6, 24)
    for arguments in ((3, (2, 3)), (2, (3, 3)), (2, (2, 3), -1), (2, (2, 3), 0, torch.zeros(8))):
        with pytest.raises(ValueError, match='shape|does not fit'):
            map_attention(qkv, *arguments)
    with pytest.raises(ValueError, match='table has shape'):
        map_attention(qkv, 2, (2, 3), tables=(torch.zeros(2, 4, 2), torch.zeros(3, 5, 3)))
    with pytest.raises(ValueError, match='biases have shape'):
        map_attention(qkv, 2, (2, 3), offsets=(torch.zeros(2, 3, 4), torch.zeros(2, 3)))
    with pytest.raises(RuntimeError, match='no kernel for torch.float64'):
        map_attention(qkv.double(), 2, (2, 3))
    assert map_attention(qkv[:0], 2, (2, 3)).shape == (0, 6, 8)
