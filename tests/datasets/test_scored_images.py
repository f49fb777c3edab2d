"""mmdet's COCO metric scores the images that were shown, and as before where that is all of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, METRICS, DefaultScope

from mmvitdense.datasets.checks import DataError
from mmvitdense.datasets.scored_images import ScoreShownImagesHook
from mmvitdense.datasets.shape_scenes import CLASSES
from mmvitdense.datasets.shapes import write_shapes

pytest.importorskip('mmdet')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp('scored') / 'shapes', 1, 8, image_size=64, seed=3)


@pytest.fixture
def settings(root):
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='annotations/instances_validation.json',
        data_prefix=dict(img='images/validation/'),
        metainfo=dict(classes=CLASSES),
        test_mode=True,
    )


def score(dataset, path, choose=True, **options):
    """Score predictions near the truth; without `choose` as mmdet does alone."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(dataset)
        metric = METRICS.build(dict(type='CocoMetric', ann_file=str(path), **options))
    metric.dataset_meta = dataset.metainfo
    if choose:
        loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset), evaluator=Evaluator(metric))
        ScoreShownImagesHook().before_test(SimpleNamespace(test_loop=loop))
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        rng = np.random.default_rng(info['img_id'])
        boxes = np.array([item['bbox'] for item in info['instances']], dtype=np.float32)
        boxes += rng.normal(0, 2, boxes.shape).astype(np.float32)
        labels = np.array([item['bbox_label'] for item in info['instances']])
        found = dict(bboxes=boxes, scores=rng.random(len(boxes)), labels=labels)
        sample = dict(
            img_id=info['img_id'],
            ori_shape=(info['height'], info['width']),
            pred_instances={name: torch.as_tensor(value) for name, value in found.items()},
        )
        metric.process({}, [sample])
    return metric.evaluate(len(dataset))


@pytest.fixture
def path(root):
    return root / 'annotations/instances_validation.json'


@pytest.fixture
def part(path, tmp_path):
    """A file of the first three images alone."""
    content = json.loads(path.read_text())
    content['images'] = content['images'][:3]
    ids = {image['id'] for image in content['images']}
    content['annotations'] = [item for item in content['annotations'] if item['image_id'] in ids]
    (tmp_path / 'part.json').write_text(json.dumps(content))
    return tmp_path / 'part.json'


def test_all_images_are_scored_as_before(settings, path):
    assert score(settings, path) == score(settings, path, choose=False)


def test_the_first_images_are_scored_by_themselves(settings, path, part):
    """An image that was not shown would count as one in which nothing was found."""
    alone = score({**settings, 'ann_file': str(part)}, part, choose=False)
    shown = score({**settings, 'indices': 3}, path)
    assert shown == alone
    assert score({**settings, 'indices': 3}, path, choose=False)['coco/bbox_mAP'] < 0.7 * alone['coco/bbox_mAP']
    assert shown['coco/bbox_mAP'] > 0.2


@pytest.mark.parametrize(
    ('wrap', 'words'),
    [
        (lambda inner: dict(type='RepeatDataset', times=2, dataset=inner), 'several times, id 1, 2'),
        (lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]), 'several times'),
    ],
)
def test_images_that_are_shown_twice(settings, path, wrap, words):
    with pytest.raises(DataError, match=words):
        score(wrap(settings), path)


def test_images_that_the_file_lacks(settings, part):
    with pytest.raises(DataError, match='lacks 5 of the 8 images'):
        score(settings, part)


def test_metrics_of_other_kinds_and_files_are_left_alone(settings):
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(settings)
        metrics = [METRICS.build(dict(type=name)) for name in ('CocoMetric', 'VOCMetric')]
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset), evaluator=Evaluator(metrics))
    ScoreShownImagesHook().before_val(SimpleNamespace(val_loop=loop))
    assert metrics[0].img_ids is None
