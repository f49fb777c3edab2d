"""Deformable attention between tokens: mmcv's formula through grid_sample as the oracle."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models.backbones.adapters import DeformableExchange, Extractor, Sampling, TokenLevels
from tests.fidelity.agreement import assert_within, redraw


def by_grid_sample(module, query, feat, points, grids):
    """Softmax over levels and points together; offsets in pixels of the level that is sampled."""
    attn, heads, count = module.attn, module.attn.num_heads, len(grids)
    query = F.layer_norm(query, query.shape[-1:], module.query_norm.weight, module.query_norm.bias, 1e-6)
    feat = F.layer_norm(feat, feat.shape[-1:], module.feat_norm.weight, module.feat_norm.bias, 1e-6)
    batch, length, _ = query.shape
    value = attn.value_proj(feat).reshape(batch, feat.shape[1], heads, -1)
    offsets = attn.sampling_offsets(query).reshape(batch, length, heads, count, -1, 2)
    weights = attn.attention_weights(query).reshape(batch, length, heads, -1).softmax(-1)
    weights = weights.reshape(batch, length, heads, count, -1)
    total, start = 0, 0
    for level, (height, width) in enumerate(grids):
        part = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(batch * heads, -1, height, width)
        start += height * width
        places = points[:, :, :, None] + offsets[:, :, :, level] / torch.tensor([width, height])
        places = (2 * places - 1).transpose(1, 2).flatten(0, 1)
        sampled = F.grid_sample(part, places, align_corners=False).unflatten(0, (batch, heads))
        total = total + (sampled * weights[:, :, :, level].transpose(1, 2)[:, :, None]).sum(-1)
    return attn.output_proj(total.permute(0, 3, 1, 2).flatten(2))


@pytest.mark.parametrize('grids', [((4, 6), (2, 3), (1, 2)), ((2, 3),)], ids=['three-levels', 'one-level'])
@pytest.mark.parametrize('ratio', [0.5, 1.0])
def test_values_and_gradients(grids, ratio):
    module = redraw(DeformableExchange(16, num_heads=4, num_levels=len(grids), num_points=3, value_ratio=ratio))
    levels = TokenLevels([(4, 6), (2, 3), (1, 2)], torch.device('cpu'))
    query, feat = torch.randn(2, 32, 16), torch.randn(2, sum(h * w for h, w in grids), 16)
    tensors = [(q.requires_grad_(), f.requires_grad_()) for q, f in ((query.clone(), feat.clone()) for _ in range(2))]
    actual = module.attend(*tensors[0], Sampling(levels.centres, grids))
    expected = by_grid_sample(module, *tensors[1], levels.centres, grids)
    assert_within(actual, expected, 1e-5, 'values')
    cotangent = torch.randn_like(actual)
    for output in (actual, expected):
        output.backward(cotangent)
    for ours, theirs, name in zip(*tensors, ('queries', 'features')):
        assert_within(ours.grad, theirs.grad, 1e-4, f'gradient of {name}')


def test_extractor_without_network():
    extractor = redraw(Extractor(16, num_heads=4, num_levels=1, cffn_ratio=None))
    assert not any('ffn' in name for name, _ in extractor.named_parameters())
    levels = TokenLevels([(4, 6), (2, 3), (1, 2)], torch.device('cpu'))
    tokens, feat = torch.randn(1, 32, 16), torch.randn(1, 6, 16)
    sampling = Sampling(levels.centres, ((2, 3),))
    assert torch.equal(extractor(tokens, feat, levels, sampling), tokens + extractor.attend(tokens, feat, sampling))
