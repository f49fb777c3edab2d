"""NAF against the released code, its attention against the rule of NATTEN place by place; the loss of its training."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import NeighborhoodAttention
from mmvitdense.models import NAF, LiftedViT, NAFPretraining
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden


@pytest.fixture(scope='module')
def golden():
    return read_golden('naf')


def own_names(tensors):
    return {name: x for name, x in tensors.items() if not name.endswith('rope.periods')}


@pytest.mark.parametrize('case', ['limited', 'fractional'])
def test_values_and_gradients(golden, case):
    """An image that is shrunk first, to other proportions; a result that is no multiple of the map."""
    naf = NAF(dims=32, img_layers=1, window=golden['meta']['windows'][case]).eval()
    naf.load_state_dict(own_names(golden['sd']))
    image, maps = (golden['in'][f'{case}.{name}'].clone().requires_grad_() for name in ('image', 'map'))
    found = naf(image, maps, tuple(golden['meta']['sizes'][case]))
    assert_within(found, golden['out'][case], OUTPUTS, 'map')
    (found * golden['cot'][case]).sum().backward()
    grads = {'image': image.grad, 'map': maps.grad} | {name: p.grad for name, p in naf.named_parameters()}
    expected = {n.removeprefix(f'{case}.'): x for n, x in golden['grad'].items() if n.startswith(f'{case}.')}
    assert expected.keys() == grads.keys()
    for name, wanted in expected.items():
        assert_within(grads[name], wanted, GRADIENTS, f'gradient of {name}')


def test_totals_names_and_periods(golden):
    with torch.device('meta'):
        for sizes, total in golden['meta']['totals'].items():
            dims, layers = map(int, sizes.split('-'))
            assert sum(p.numel() for p in NAF(dims=dims, img_layers=layers).parameters()) == total
        naf = NAF()
    assert golden['meta']['totals']['256-2'] == 662_528
    names = {name: list(x.shape) for name, x in naf.state_dict().items()}
    assert names == own_names(golden['meta']['keys'])
    assert len(golden['meta']['keys']) == 37
    tiny = NAF(dims=32, img_layers=1)
    torch.testing.assert_close(tiny.rope.periods('cpu'), golden['sd']['image_encoder.rope.periods'])


def first_neighbour(index, length, window, dilation):
    """As the first releases of NATTEN state it (`get_window_start`)."""
    half = window // 2
    if index - half * dilation < 0:
        return index % dilation
    if index + half * dilation >= length:
        rest, whole = length % dilation, length // dilation * dilation
        if index % dilation < rest:
            return length - rest + index % dilation - 2 * half * dilation
        return whole + index % dilation - window * dilation
    return index - half * dilation


def dilated_neighbourhoods(query, key, value, window):
    """The coarse maps stretched by the nearest cell, then each place with each neighbour; one head, one image."""
    sides = query.shape[-2:]
    dilations = [fine // coarse for fine, coarse in zip(sides, key.shape[-2:])]
    key, value = (F.interpolate(maps[None], sides, mode='nearest-exact')[0] for maps in (key, value))
    out = value.new_empty(len(value), *sides)
    for place in torch.cartesian_prod(*map(torch.arange, sides)).tolist():
        row, column = (
            [first_neighbour(at, side, window, step) + n * step for n in range(window)]
            for at, side, step in zip(place, sides, dilations)
        )
        near = [maps[:, row][:, :, column].flatten(1) for maps in (key, value)]
        weights = (query[:, place[0], place[1]] @ near[0] / len(query) ** 0.5).softmax(-1)
        out[:, place[0], place[1]] = near[1] @ weights
    return out


@pytest.mark.parametrize(
    ('grid', 'size', 'window'),
    [
        ((10, 12), (20, 24), 9),
        ((9, 11), (36, 33), 9),
        ((10, 9), (30, 9), 9),
        ((6, 5), (16, 13), 5),
        ((14, 3), (37, 8), 3),
    ],
)
def test_attention_is_that_of_natten(grid, size, window):
    """The literal rule, whose outputs NATTEN 0.21.7 has on these grids (run apart); two heads, two images."""
    query, key, value = (torch.randn(2, 6, *sides, dtype=torch.float64) for sides in (size, grid, grid))
    found = NeighborhoodAttention(2, window)(query, key, value)
    parts = ([maps[image, 3 * h : 3 * h + 3] for maps in (query, key, value)] for image in (0, 1) for h in (0, 1))
    wanted = torch.cat([dilated_neighbourhoods(*part, window) for part in parts]).reshape(found.shape)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def with_largest_kept(attention, inputs):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        return attention(*inputs), max(kept)


@pytest.mark.parametrize('size', [(10, 12), (7, 8)])
def test_gathered_some_at_a_time(size):
    """Values and gradients are the same, and what is kept for the backward pass is not the windows."""
    tensors = [torch.randn(2, 8, *sides) for sides in (size, (5, 6), (5, 6))]
    results = []
    for gathered in (2**24, 3000, 1):
        inputs = [x.clone().requires_grad_() for x in tensors]
        out, kept = with_largest_kept(NeighborhoodAttention(2, 3, gathered), inputs)
        torch.manual_seed(0)
        (out * torch.randn(out.shape)).sum().backward()
        results.append((out, *(x.grad for x in inputs)))
        windows = 9 * 2 * 8 * out[0, 0].numel() // (4 if size == (10, 12) else 1)
        assert (kept < windows) == (gathered < 2**24)
    for other in results[1:]:
        for found, wanted in zip(other, results[0]):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_images_normed_in_strips(monkeypatch):
    naf = redraw(NAF(dims=32)).eval()
    image, maps = torch.randn(2, 3, 37, 23), torch.randn(2, 4, 4, 3)
    wanted = naf(image, maps, (10, 6))
    for strip in (1, 2000):
        monkeypatch.setattr('mmvitdense.models.necks.naf_encoder.STRIP', strip)
        assert naf(image, maps, (10, 6)).equal(wanted), 'with gradients nothing is cut'
        with torch.no_grad():
            assert_within(naf(image, maps, (10, 6)), wanted, OUTPUTS, f'strips of {strip}')


@pytest.mark.parametrize('factor', [0.5, (0.25, 0.6)])
def test_loss_of_the_training(factor):
    """`train.py`: the image shrunk to whole patches, the guide at 4 times the map, raw features."""
    vit = {'embed_dims': 12, 'num_layers': 1, 'num_heads': 3, 'patch_size': 8, 'img_size': 64, 'frozen_stages': 'all'}
    naf = {'type': 'mmvitdense.NAF', 'dims': 32, 'window': 3, 'rope_rescale': None}
    model = redraw(NAFPretraining(LiftedViT(vit, naf, frozen_lift=False), factor=factor, largest_guide=30)).train()
    image = torch.randn(2, 3, 64, 56)
    torch.manual_seed(5)
    losses = model(image, mode='loss')
    torch.manual_seed(5)
    share = factor if factor == 0.5 else 0.25 + 0.35 * torch.rand(()).item()
    sides = [8 * round(side * share / 8) for side in (64, 56)]
    wanted, small = (model.backbone.vit(each)[0] for each in (image, F.interpolate(image, sides, mode='bilinear')))
    found = model.backbone.lift(F.interpolate(image, (30, 28), mode='bilinear'), small, (8, 7))
    assert list(losses) == ['loss_mse']
    torch.testing.assert_close(losses['loss_mse'], ((found - wanted) ** 2).mean())
    losses['loss_mse'].backward()
    assert all(p.grad is not None and p.grad.any() for p in model.backbone.lift.parameters())
    assert all(p.grad is None for p in model.backbone.vit.parameters())
