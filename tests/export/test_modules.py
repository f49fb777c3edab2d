"""What is exported, as it is run in PyTorch: to the bit what mmdet and mmseg predict."""

import pytest
import torch

from mmvitdense.export.description import Description
from mmvitdense.export.serving import EagerSession
from tests.export.small import SIDE, small_model

DETECTORS = ['mask_rcnn', 'faster_rcnn', 'cascade', 'retinanet', 'atss', 'gfl', 'dino', 'eomt', 'kmax']
SHAPES = [(50, 64), (64, 41)]
"""Of the images, which lie in the upper left of the file's."""


@pytest.mark.parametrize('name', DETECTORS)
def test_detectors_predict_as_mmdet(name):
    from mmdet.structures import DetDataSample

    from mmvitdense.export.detection.serving import DetectorServer, PaddedDetector
    from mmvitdense.export.detection.wrapping import wrap

    _, model = small_model(name)
    wrapped = wrap(model, (SIDE, SIDE))
    description = Description(
        wrapped.task, wrapped.inputs, wrapped.outputs, SIDE, SIDE, batch=2, test_cfg=wrapped.test_cfg
    )
    session = EagerSession(wrapped, description)
    metas = [
        {'img_shape': shape, 'ori_shape': (shape[0] * 2, shape[1] * 3), 'scale_factor': (1 / 3, 0.5), 'img_id': place}
        for place, shape in enumerate(SHAPES)
    ]
    data = {
        'inputs': [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for shape in SHAPES],
        'data_samples': [DetDataSample(metainfo=meta) for meta in metas],
    }
    rounding = 1e-6 if name == 'dino' else 0  # mmdet takes one image of the batch after the other
    expected, found = PaddedDetector(model, session)(data), DetectorServer(session)(data)
    for left, right in zip(expected, found, strict=True):
        assert len(left.pred_instances) > 3
        for field, value in left.pred_instances.items():
            torch.testing.assert_close(right.pred_instances[field], value, rtol=rounding, atol=0)
        if 'pred_panoptic_seg' in left:
            assert torch.equal(left.pred_panoptic_seg.sem_seg, right.pred_panoptic_seg.sem_seg)
