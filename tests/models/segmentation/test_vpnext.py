"""VPNeXt against its formulas, written as loops; no code of it is public."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from mmvitdense.models import PlainViT, VPNeXtViT
from mmvitdense.registry import MODELS
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw

pytest.importorskip('mmseg')
from mmseg.structures import SegDataSample

from mmvitdense.models.segmentation.context_replay import ContextReplay

SIZES = {'embed_dims': 16, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 16}


class TestBackbone:
    @pytest.mark.parametrize('patch', [8, 16])
    def test_maps_of_blocks_and_of_dense_patches(self, patch):
        """Each new patch is one that a window of the padded image holds; a step of one is the embedding itself."""
        vit = redraw(PlainViT(**SIZES, patch_size=patch, img_size=64)).eval()
        model = VPNeXtViT(vit, steps=(1, 2, 4)).eval()
        image = torch.randn(2, 3, 2 * patch, 3 * patch - 3)
        with torch.no_grad():
            *blocks, whole, half, quarter = model(image)
            for got, expected in zip(blocks, vit.intermediate(image, (1, 2, 3))):
                assert torch.equal(got, expected)
            tokens, grid = vit.patch_embed(image)
            torch.testing.assert_close(whole, tokens.transpose(1, 2).unflatten(2, grid))
            padded = F.pad(image, (0, 3, 0, 0))
            for step, found in ((2, half), (4, quarter)):
                assert found.shape == (2, 16, 2 * step, 3 * step)
                stride = patch // step
                around = F.pad(padded, [(patch - stride) // 2] * 4)
                row, column = 2 * step - 1, step
                cut = around[..., row * stride : row * stride + patch, column * stride : column * stride + patch]
                expected = torch.einsum('bchw,dchw->bd', cut, vit.patch_embed.proj.weight) + vit.patch_embed.proj.bias
                assert_within(found[..., row, column], expected, OUTPUTS, f'step {step}')

    def test_patch_of_fourteen(self):
        model = VPNeXtViT({**SIZES, 'patch_size': 14, 'img_size': 28}, steps=(2, 7))
        assert [tuple(x.shape[-2:]) for x in model(torch.randn(1, 3, 28, 42))[-2:]] == [(4, 6), (14, 21)]

    def test_options(self):
        with pytest.raises(ValueError, match='steps must divide the patch of 14'):
            VPNeXtViT({**SIZES, 'patch_size': 14, 'img_size': 28}, steps=(4,))
        assert VPNeXtViT({**SIZES, 'num_layers': 24, 'img_size': 32}).out_indices == (11, 17, 23)


def sampled(image, row, column):
    """Bilinear, zero outside: C x h x w at a place."""
    total = torch.zeros(image.shape[0])
    top, left = int(row // 1), int(column // 1)
    for y in (top, top + 1):
        for x in (left, left + 1):
            if 0 <= y < image.shape[1] and 0 <= x < image.shape[2]:
                total += image[:, y, x] * (1 - abs(row - y)) * (1 - abs(column - x))
    return total


def test_context_replay():
    """Offsets of the last map for all others, kernels of their own; then means by affinity in the last map."""
    torch.manual_seed(0)
    replay = redraw(ContextReplay(2, 6, None, 'both', False), std=0.3)
    maps, last = [torch.randn(1, 6, 3, 4) for _ in range(2)], torch.randn(1, 6, 3, 4)
    with torch.no_grad():
        found = replay(maps, last)
        shifts = F.conv2d(last, replay.offsets.weight, replay.offsets.bias, padding=1)[0]
        query, key = (F.conv2d(last, part.weight, part.bias)[0].flatten(1) for part in (replay.query, replay.key))
        affinity = (query.T @ key / 3**0.5).softmax(-1)
        for each, layer, value, output, got in zip(maps, replay.kernels, replay.values, replay.outputs, found):
            local = torch.zeros(6, 3, 4)
            for row in range(3):
                for column in range(4):
                    for tap in range(9):
                        down, right = (shifts[2 * tap + axis, row, column].item() for axis in (0, 1))
                        place = (row + tap // 3 - 1 + down, column + tap % 3 - 1 + right)
                        weight = shifts[18 + tap, row, column].sigmoid()
                        kernel = layer.conv.weight[:, :, tap // 3, tap % 3]
                        local[:, row, column] += kernel @ sampled(each[0], *place) * weight
            local = local.relu()
            values = value.weight[:, :, 0, 0] @ local.flatten(1) + value.bias[:, None]
            mean = output.weight[:, :, 0, 0] @ (values @ affinity.T) + output.bias[:, None]
            assert_within(got[0], local + mean.unflatten(1, (3, 4)), OUTPUTS, 'replayed map')


@pytest.fixture
def heads():
    shared = dict(in_channels=[16] * 3, num_classes=5, norm_cfg=dict(type='BN'), align_corners=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(ConfigDict(type='mmvitdense.VPNeXtHead', channels=8, low_level_channels=4, **shared))
        auxiliary = MODELS.build(ConfigDict(type='mmvitdense.ContextReplayHead', channels=8, **shared))
    auxiliary.init_weights()
    return head, auxiliary


def test_losses_and_where_they_reach(heads):
    """The offsets learn from their first step on; the last map too, unless it is to be left alone."""
    head, auxiliary = heads
    maps = [torch.randn(2, 16, 4, 6, requires_grad=True) for _ in range(3)]
    maps += [torch.randn(2, 16, 8, 12), torch.randn(2, 16, 16, 24)]
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 32, 48)))) for _ in range(2)]
    assert head(maps).shape == (2, 5, 16, 24)
    losses = auxiliary.loss(maps, samples, None)
    assert {'replay0.loss_ce', 'replay1.loss_ce', 'replay0.acc_seg', 'replay1.acc_seg'} == losses.keys()
    assert not auxiliary.replay.offsets.weight.any()
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in auxiliary.replay.offsets.parameters())
    assert all(each.grad.abs().sum() > 0 for each in maps[:3])
    maps[2].grad = None
    auxiliary.replay.detach_context = True
    losses = auxiliary.loss(maps, samples, None)
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    assert maps[2].grad is None


def test_options_of_the_replay():
    with pytest.raises(ValueError, match="mode must be one of 'local'"):
        ContextReplay(2, 8, None, 'all', False)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_replay_under_autocast(dtype):
    """Deformable convolutions have no kernel in 16 bits on a CPU; values are near those of float32."""
    from mmvitdense.layers import deformable_conv

    maps, kernel = torch.randn(2, 4, 5, 6), torch.randn(3, 4, 3, 3)
    offsets, weights = torch.randn(2, 18, 5, 6), torch.rand(2, 9, 5, 6)
    found = deformable_conv(maps.to(dtype), offsets.to(dtype), weights.to(dtype), kernel)
    assert found.dtype == dtype
    given = [value.to(dtype).float() for value in (maps, offsets, weights)]
    torch.testing.assert_close(found.float(), deformable_conv(*given, kernel), rtol=1e-2, atol=1e-2)
    assert deformable_conv(maps.double(), offsets, weights, kernel).dtype == torch.float64
