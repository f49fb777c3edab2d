"""What detects nothing scores zero, under the same names as what detects something."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS, DefaultScope
from PIL import Image

from mmvitdense.compat import no_detections

TRUTH = {
    'images': [{'id': 1, 'file_name': '1.png', 'width': 64, 'height': 64, 'not_exhaustive_category_ids': []}],
    'annotations': [
        {
            'id': 1,
            'image_id': 1,
            'category_id': 1,
            'bbox': [4, 4, 40, 40],
            'area': 1600,
            'iscrowd': 0,
            'segmentation': [[4, 4, 44, 4, 44, 44, 4, 44]],
        }
    ],
    'categories': [
        {'id': 1, 'name': 'sun', 'frequency': 'f', 'image_count': 1, 'isthing': 1},
        {'id': 2, 'name': 'sea', 'frequency': 'r', 'image_count': 1, 'isthing': 0},
    ],
}
TRUTH['images'][0]['neg_category_ids'] = []


def metrics(tmp_path, number, **metric):
    """What a metric gives for one image with `number` detections, the first right."""
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(TRUTH))
    with DefaultScope.overwrite_default_scope('mmdet'):
        metric = METRICS.build({'ann_file': str(path), **metric})
    metric.dataset_meta = {'classes': ('sun', 'sea')}
    masks = torch.zeros(number, 64, 64, dtype=torch.bool)
    masks[:, 4:44, 4:44] = True
    found = {
        'bboxes': torch.tensor([[4.0, 4, 44, 44]]).repeat(number, 1),
        'scores': torch.linspace(0.9, 0.5, number),
        'labels': torch.zeros(number, dtype=torch.long),
        'masks': masks,
    }
    metric.process({}, [{'img_id': 1, 'ori_shape': (64, 64), 'pred_instances': found}])
    return metric.evaluate(1)


@pytest.fixture(autouse=True)
def as_in_a_tool():
    with no_detections.zeros():
        yield


@pytest.mark.parametrize('options', [{}, {'classwise': True}])
@pytest.mark.parametrize(('kind', 'best'), [('CocoMetric', 'bbox_mAP'), ('LVISMetric', 'bbox_AP')])
def test_average_precision(tmp_path, kind, best, options):
    if kind == 'LVISMetric':
        pytest.importorskip('lvis')
    options = {'type': kind, 'metric': ['bbox', 'segm'], **options}
    nothing, something = (metrics(tmp_path, number, **options) for number in (0, 1))
    assert nothing.keys() == something.keys()
    prefix = kind[:4].lower()
    assert (nothing[f'{prefix}/{best}'], something[f'{prefix}/{best}']) == (0, 1)
    for name, value in nothing.items():
        if np.isnan(something[name]):
            assert np.isnan(value)
        else:  # -1, for sizes and classes that have no objects, stays -1
            assert value == min(something[name], 0), name


def test_recall_of_proposals(tmp_path):
    nothing, something = (metrics(tmp_path, number, type='CocoMetric', metric='proposal') for number in (0, 2))
    assert nothing.keys() == something.keys()
    assert (nothing['coco/AR@100'], something['coco/AR@100']) == (0, 1)


def test_panoptic_quality(tmp_path):
    truth = json.loads(json.dumps(TRUTH))
    truth['annotations'] = [
        {'image_id': 1, 'file_name': '1.png', 'segments_info': [{**truth['annotations'][0], 'id': 7}]}
    ]
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[4:44, 4:44, 0] = 7
    Image.fromarray(colours).save(tmp_path / '1.png')
    found = {}
    for name, label in (('nothing', 2), ('something', 0)):
        segments = torch.full((1, 64, 64), 2)
        segments[:, 4:44, 4:44] = label
        with DefaultScope.overwrite_default_scope('mmdet'):
            metric = METRICS.build(
                {
                    'type': 'CocoPanopticMetric',
                    'ann_file': str(tmp_path / 'truth.json'),
                    'seg_prefix': str(tmp_path),
                }
            )
        metric.dataset_meta = {'classes': ('sun', 'sea'), 'thing_classes': ('sun',), 'stuff_classes': ('sea',)}
        sample = {'img_id': 1, 'img_path': '1.png', 'ori_shape': (64, 64), 'segments_info': []}
        metric.process({}, [{**sample, 'pred_panoptic_seg': {'sem_seg': segments}}])
        found[name] = metric.evaluate(1)
    assert found['nothing'].keys() == found['something'].keys()
    assert (found['nothing']['coco_panoptic/PQ'], found['something']['coco_panoptic/PQ']) == (0, 100)
    assert set(found['nothing'].values()) == {0}
