"""Losses of masks do not depend on the type that autocast gives the predictions."""

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmdet')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', ['MaskFormerHead', 'Mask2FormerHead'])
def test_many_masks_in_16_bits(name, dtype):
    """Eight masks, which times the points of each are more than float16 holds."""
    from mmdet.models import dense_heads
    from mmdet.registry import MODELS

    masks, side, classes = 8, 112, 3
    kinds = {'focal': {'type': 'mmdet.FocalLoss'}, 'cross': {'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True}}
    head = SimpleNamespace(
        class_weight=[1.0] * classes + [0.1],
        num_points=side**2,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        loss_cls=MODELS.build({'type': 'mmdet.CrossEntropyLoss', 'class_weight': [1.0] * classes + [0.1]}),
        loss_dice=MODELS.build({'type': 'mmdet.DiceLoss', 'use_sigmoid': True, 'activate': True, 'naive_dice': True}),
        loss_mask=MODELS.build(kinds['focal' if name == 'MaskFormerHead' else 'cross']),
    )
    targets = (torch.rand(masks, side, side) > 0.5).long()
    found = [torch.arange(masks) % classes], [torch.ones(masks)], [targets], [torch.ones(masks)], masks
    head.get_targets = lambda *_: found
    scores, predictions = torch.randn(1, masks, classes + 1), torch.randn(1, masks, side, side)
    function = getattr(dense_heads, name)._loss_by_feat_single
    losses = []
    for kind in (torch.float32, dtype):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=kind == torch.bfloat16):
            losses.append(
                torch.stack([loss.squeeze() for loss in function(head, scores.to(kind), predictions.to(kind), [], [])])
            )
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(*losses, rtol=2e-2, atol=1e-3)
