"""Detectors that tell their backbone the sizes of the images in a padded batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from tests.configs.shrink import shrink

pytest.importorskip('mmdet')
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks

CONFIGS = Path(__file__).parents[3] / 'configs' / 'mimdet'
SIZES = [(96, 64), (50, 128)]


def build(head):
    """The detector of a config, made small."""
    config = shrink(Config.fromfile(CONFIGS / f'mimdet-b-mae_{head}_sr050-3x_coco.py'), Path())
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return revert_sync_batchnorm(MODELS.build(config.model))


def batch(with_objects=True):
    inputs, samples = [], []
    for height, width in SIZES:
        objects = InstanceData(
            bboxes=torch.tensor([[4.0, 4.0, 40.0, 40.0]]), labels=torch.tensor([1]), masks=_masks(1, height, width)
        )
        if not with_objects:
            objects = InstanceData(
                bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long), masks=_masks(0, height, width)
            )
        meta = {'img_shape': (height, width), 'ori_shape': (height, width), 'scale_factor': (1.0, 1.0), 'img_id': 0}
        sample = DetDataSample(metainfo=meta, gt_instances=objects)
        samples.append(sample)
        inputs.append(torch.randint(0, 255, (3, height, width), dtype=torch.uint8))
    return {'inputs': inputs, 'data_samples': samples}


def _masks(count, height, width):
    return BitmapMasks(np.ones((count, height, width), dtype=np.uint8), height, width)


@pytest.fixture(params=['mask-rcnn', 'cascade-mask-rcnn'])
def model(request):
    return build(request.param)


def test_the_backbone_knows_the_sizes(model, monkeypatch):
    """In training, in testing and in the bare forward pass; None is left behind."""
    seen = []
    forward = model.backbone.forward

    def record(image, image_sizes):
        seen.append(image_sizes)
        return forward(image, image_sizes)

    monkeypatch.setattr(model.backbone, 'forward', record)
    for mode, training in (('loss', True), ('predict', False), ('tensor', False)):
        data = model.train(training).data_preprocessor(batch(), training=training)
        assert data['inputs'].shape == (2, 3, 96, 128)
        model(**data, mode=mode)
        assert seen.pop() == SIZES
        assert model._image_sizes is None
    model.extract_feat(data['inputs'])
    assert seen.pop() is None


def test_no_object_in_the_whole_batch(model):
    """A crop may lose all objects: losses stay finite and the running statistics of the norms as they are."""

    def statistics():
        return {n: x.clone() for n, x in model.named_buffers() if 'mask_head' in n and 'running' in n}

    before = statistics()
    data = model.train().data_preprocessor(batch(with_objects=False), training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert before
    assert all(torch.equal(tensor, before[name]) for name, tensor in statistics().items())


def test_two_runs_with_one_seed_give_the_same_losses():
    """Sampled tokens, proposals, drop path and recomputing included; another seed gives others."""

    def run(seed):
        model = build('mask-rcnn').train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        torch.manual_seed(1)
        data = model.data_preprocessor(batch(), training=True)
        torch.manual_seed(seed)
        losses = []
        for _ in range(3):
            loss, _ = model.parse_losses(model(**data, mode='loss'))
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses

    first = run(0)
    assert run(0) == first
    assert run(2) != first
