"""Metrics that compare with something else than what the data set shows."""

import copy
import json
import logging

import pytest

from mmvitdense.datasets.checks import check_data


@pytest.fixture
def other(coco):
    """Write another annotation file, with changes, and let the validation compare with it."""

    def _write(change):
        content = copy.deepcopy(coco.content)
        change(content)
        path = coco.root / 'other.json'
        path.write_text(json.dumps(content))
        cfg = coco.config()
        cfg.val_evaluator.ann_file = str(path)
        return cfg

    return _write


def test_missing_file(coco, refused, mended):
    cfg = coco.config()
    cfg.val_evaluator.ann_file = 'nowhere.json'
    message = refused(cfg)
    assert 'val_evaluator.ann_file' in message
    mended(cfg, message)


def test_other_ids(coco, refused, mended, other):
    def change(content):
        content['images'][3]['id'] = 9
        for annotation in content['annotations'][6:]:
            annotation['image_id'] = 9

    cfg = other(change)
    cfg.val_evaluator = [cfg.val_evaluator]
    message = refused(cfg)
    assert 'val_evaluator.0.ann_file' in message
    assert 'lacks 1 of the 4 images' in message
    mended(cfg, message)


def test_other_categories(refused, mended, other):
    cfg = other(lambda content: content['categories'][1].update(name='bird'))
    message = refused(cfg)
    assert "other.json, has the classes 'cat', 'traffic light'" in message
    mended(cfg, message)


def test_other_images_with_the_same_ids(refused, mended, other):
    cfg = other(lambda content: content['images'][1].update(file_name='training/7.jpg'))
    message = refused(cfg)
    assert "id 2 is 'training/7.jpg' there and '2.jpg' in" in message
    mended(cfg, message)


def test_other_objects_in_images_of_the_same_names(refused, mended, other):
    cfg = other(lambda content: content['annotations'].pop(4))
    message = refused(cfg)
    assert '1 of 4 images differ, 3.jpg (id 3) for one with 1 objects there and 2 in' in message
    mended(cfg, message)


def test_a_file_of_more_images_below_another_folder(other, log):
    def change(content):
        for image in content['images']:
            image['file_name'] = f'photos/{image["file_name"]}'
        content['images'].append({'id': 9, 'file_name': '9.jpg', 'height': 48, 'width': 64})
        content['annotations'].append({**content['annotations'][0], 'id': 90, 'image_id': 9})

    check_data(other(change))
    assert not [line for level, line in log if level > logging.INFO]


def test_other_boxes_are_warned_of(other, log):
    check_data(other(lambda content: content['annotations'][4].update(bbox=[1, 2, 30, 40])))
    assert [line for level, line in log if level == logging.WARNING and 'but other boxes' in line]


@pytest.mark.parametrize('indices', [2, [0, 1], -3, [0, 4]])
def test_only_what_is_shown_must_be_in_the_file(refused, other, indices):
    def change(content):
        content['images'] = content['images'][:2]
        content['annotations'] = content['annotations'][:4]

    cfg = other(change)
    cfg.val_dataloader.dataset.indices = indices
    if indices in (2, [0, 1]):
        check_data(cfg)
    else:
        assert ('lacks 2 of the 3' if indices == -3 else 'indices names 4') in refused(cfg)


@pytest.mark.parametrize('indices', [0, []])
def test_no_image_is_shown(coco, refused, indices):
    cfg = coco.config()
    cfg.val_dataloader.dataset.indices = indices
    assert f'val_dataloader.dataset.indices is {indices}, which shows no image: leave it out' in refused(cfg)


def test_images_alone_and_their_objects_in_the_file_of_the_metric(coco, other):
    cfg = other(lambda content: None)
    coco.content['annotations'] = []
    (coco.root / 'images.json').write_text(json.dumps(coco.content))
    cfg.val_evaluator.metric = 'bbox'
    cfg.val_dataloader.dataset.ann_file = 'images.json'
    with pytest.raises(Exception, match='no annotations'):
        check_data(cfg, splits=['val'])


def test_joined_data_sets(coco, refused, other):
    """Images with one id are one image to a metric; other ids, or a metric for each data set, are right."""

    def shift(content):
        for image in content['images']:
            image['id'] += 10
        for annotation in content['annotations']:
            annotation['image_id'] += 10
            annotation['id'] += 10

    other(shift)
    cfg = coco.config()
    pair = [coco.dataset(test_mode=True), coco.dataset(test_mode=True)]
    cfg.val_dataloader.dataset = dict(type='ConcatDataset', datasets=pair)
    assert 'both have an image with the id 1' in refused(cfg)
    metric = cfg.val_evaluator
    cfg.val_evaluator = dict(type='MultiDatasetsEvaluator', metrics=[metric, metric], dataset_prefixes=['a', 'b'])
    check_data(cfg)
    pair[1]['ann_file'] = 'other.json'
    cfg.val_dataloader.dataset.datasets = pair
    assert 'val_evaluator.metrics.1.ann_file' in refused(cfg), 'the second metric belongs to the second data set'
    both = {**coco.content}
    shifted = json.loads((coco.root / 'other.json').read_text())
    for name in ('images', 'annotations'):
        both[name] = coco.content[name] + shifted[name]
    (coco.root / 'both.json').write_text(json.dumps(both))
    cfg.val_evaluator = dict(type='CocoMetric', ann_file=str(coco.root / 'both.json'))
    check_data(cfg)


def test_no_crowd_flag(coco, refused):
    del coco.annotations[0]['iscrowd']
    coco.write()
    cfg = coco.config()
    check_data(cfg, splits=['train'])
    assert "1 annotations have no 'iscrowd'" in refused(cfg, splits=['val'])


def test_annotation_id_zero(coco, log):
    coco.annotations[0]['id'] = 0
    coco.write()
    check_data(coco.config())
    assert len([line for level, line in log if level == logging.WARNING and 'id 0' in line]) == 1


def test_unlabelled_test_images(coco, refused):
    coco.content['annotations'] = []
    coco.write()
    cfg = coco.config()
    assert 'no annotations' in refused(cfg, splits=['val'])
    cfg.val_evaluator.update(format_only=True, metric='bbox')
    check_data(cfg, splits=['val'])


def test_an_image_that_is_shown_twice(coco, refused):
    cfg = coco.config()
    cfg.val_dataloader.dataset.indices = [1, 2, 1]
    assert 'val_dataloader.dataset.indices shows the image with the id 2 twice' in refused(cfg)
