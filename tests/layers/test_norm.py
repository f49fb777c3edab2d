"""LayerNorm2d against nn.LayerNorm on moved channels."""

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmvitdense.layers import BatchNorm2d, LayerNorm2d, SyncBatchNorm, build_norm2d
from tests.fidelity.agreement import redraw


@pytest.mark.parametrize('size', [(5, 7), (1, 1)])
def test_values_and_gradients(size):
    ours, torchs = redraw(LayerNorm2d(6, eps=1e-3)).double(), nn.LayerNorm(6, eps=1e-3).double()
    torchs.load_state_dict(ours.state_dict())
    one = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    other = one.detach().clone().requires_grad_()
    out, expected = ours(one), torchs(other.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    out.backward(cotangent)
    expected.backward(cotangent)
    for actual, wanted in zip((one, ours.weight, ours.bias), (other, torchs.weight, torchs.bias)):
        torch.testing.assert_close(actual.grad, wanted.grad)


def test_epsilon():
    assert LayerNorm2d(4).eps == 1e-6
    maps = torch.tensor([1e-3, -1e-3]).reshape(1, 2, 1, 1)
    # The variance is 1e-6, as large as epsilon: 1e-3 / sqrt(2e-6).
    assert LayerNorm2d(2)(maps).flatten().tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-4)


def test_it_is_no_layer_norm():
    """Rules of weight decay go by the class, and ViTDet decays these weights."""
    assert not isinstance(LayerNorm2d(4), nn.LayerNorm)


def test_autocast_normalises_in_float32():
    norm, maps = redraw(LayerNorm2d(8)), torch.randn(2, 8, 3, 3).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        out = norm(maps)
    assert (out.float() - norm(maps.float())).abs().max() < 0.03


class TestBuild:
    @pytest.mark.parametrize(
        ('cfg', 'kind'),
        [
            ({'type': 'BN', 'momentum': 0.01}, BatchNorm2d),
            ({'type': 'SyncBN', 'eps': 1e-3}, SyncBatchNorm),
            ({'type': 'LN', 'eps': 1e-3}, LayerNorm2d),
            ({'type': 'GN', 'num_groups': 2}, nn.GroupNorm),
        ],
    )
    def test_types(self, cfg, kind):
        norm = build_norm2d(cfg, 6)
        assert type(norm) is kind
        assert all(getattr(norm, name) == value for name, value in cfg.items() if name != 'type')
        assert norm.weight.shape == (6,)

    def test_frozen(self):
        assert not any(p.requires_grad for p in build_norm2d({'type': 'BN', 'requires_grad': False}, 4).parameters())

    def test_a_type_that_is_not_known(self):
        with pytest.raises(ValueError, match="must be one of .*'GN'.* got 'IN'"):
            build_norm2d({'type': 'IN'}, 4)


@pytest.mark.parametrize('kind', ['BN', 'SyncBN'])
def test_one_image_of_one_place(kind):
    """As the mean of an image is, which PEM and KMaX norm."""
    norm, mean = build_norm2d({'type': kind}, 3), torch.ones(1, 3, 1, 1)
    with pytest.raises(ValueError, match=r'more than 1 value per channel .*\(1, 3, 1, 1\): give each .* two images'):
        norm(mean)
    assert norm(mean.expand(2, 3, 1, 1)).shape == (2, 3, 1, 1)
    assert norm.eval()(mean).shape == mean.shape


@pytest.mark.parametrize('revert', [False, True], ids=['', 'reverted'])
@pytest.mark.parametrize(('kind', 'training'), [('BN', False), ('BN', True), ('SyncBN', False), ('SyncBN', True)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('other', [torch.contiguous_format, torch.channels_last])
def test_gradient_of_a_batch_norm_in_any_layout(layout, other, kind, training, revert):
    """Against the formula in autograd: torch's own backward pass is wrong where the two layouts differ."""
    norm = build_norm2d({'type': kind}, 6).double().train(training)
    if revert:
        norm = revert_sync_batchnorm(norm)
    nn.init.normal_(norm.weight)
    maps = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    cotangent = torch.randn_like(maps).contiguous(memory_format=other)
    ours = maps.clone(memory_format=layout).requires_grad_()
    theirs = maps.clone().requires_grad_()
    norm(ours).backward(cotangent)
    mean, var = theirs.mean((0, 2, 3), keepdim=True), theirs.var((0, 2, 3), unbiased=False, keepdim=True)
    if not training:
        mean, var = torch.zeros(1, 6, 1, 1, dtype=torch.float64), torch.ones(1, 6, 1, 1, dtype=torch.float64)
    ((theirs - mean) / (var + norm.eps).sqrt() * norm.weight.detach()[:, None, None]).backward(cotangent)
    torch.testing.assert_close(ours.grad, theirs.grad)


class TestSynchronised:
    def test_in_a_model_that_is_reverted(self):
        """It keeps its place and its state, whatever holds it."""
        model = nn.Sequential(nn.Conv2d(3, 6, 1), build_norm2d({'type': 'SyncBN'}, 6), nn.SyncBatchNorm(6))
        norm, names = model[1], list(model.state_dict())
        model = revert_sync_batchnorm(model)
        assert model[1] is norm
        assert not isinstance(model[2], nn.SyncBatchNorm)
        assert list(model.state_dict()) == names
        nn.SyncBatchNorm(6).load_state_dict(norm.state_dict())

    def test_with_other_processes(self, monkeypatch):
        """torch's own forward pass runs, of the same parameters and statistics, and refuses a CPU."""
        norm, group = build_norm2d({'type': 'SyncBN', 'process_group': 'pair', 'momentum': 0.3}, 6), []
        monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
        monkeypatch.setattr(torch.distributed, 'get_world_size', lambda group_: group.append(group_) or 2)
        with pytest.raises(ValueError, match='expected input tensor to be on GPU'):
            norm(torch.randn(2, 6, 3, 3))
        assert group[0] == 'pair'
        assert norm.num_batches_tracked == 1
        assert norm.eval()(torch.randn(2, 6, 3, 3)).isfinite().all()
        monkeypatch.setattr(torch.distributed, 'get_world_size', lambda group_: 1)
        assert norm.train()(torch.randn(2, 6, 3, 3)).mean().abs() < 1e-5
