"""Distances of doubled maps, from the model to the metric."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import LiftedViT, LiFTPretraining
from mmvitdense.registry import METRICS
from tests.fidelity.agreement import redraw


def test_means_over_images():
    vit = {'embed_dims': 12, 'num_layers': 1, 'num_heads': 3, 'patch_size': 8, 'img_size': 32, 'frozen_stages': 'all'}
    model = redraw(LiFTPretraining(LiftedViT(vit, frozen_lift=False))).eval()
    images = torch.randn(3, 3, 32, 16)
    samples = model(images, mode='predict')
    metric = METRICS.build(dict(type='mmvitdense.LiftMetric'))
    for sample in samples:
        metric.process(None, [sample.to_dict()])
    (wanted,), (small,) = model.backbone.vit(images), model.backbone.vit(images[..., ::2, ::2])
    stretched = F.interpolate(small, scale_factor=2, mode='bilinear')
    lifted = model.backbone.lift(images[..., ::2, ::2], small)
    expected = {
        f'distance/{name}': pytest.approx(1 - F.cosine_similarity(found, wanted, dim=1).mean().item(), abs=1e-6)
        for name, found in (('lift', lifted), ('bilinear', stretched))
    }
    assert metric.evaluate(3) == expected
    assert model(images)[0].shape == (3, 12, 8, 4)
