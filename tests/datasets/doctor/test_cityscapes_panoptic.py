"""Cityscapes with the files of createPanopticImgs.py (cityscapesScripts), from there to a score."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmvitdense.datasets.doctor import Options, convert, look, parts_of

from . import makers

# Scored labels of cityscapesScripts (labels.py): name, number, number in training, whether a thing.
LABELS = [
    *(('road', 7, 0, 0), ('sidewalk', 8, 1, 0), ('building', 11, 2, 0), ('wall', 12, 3, 0), ('fence', 13, 4, 0)),
    *(('pole', 17, 5, 0), ('traffic light', 19, 6, 0), ('traffic sign', 20, 7, 0), ('vegetation', 21, 8, 0)),
    *(('terrain', 22, 9, 0), ('sky', 23, 10, 0), ('person', 24, 11, 1), ('rider', 25, 12, 1), ('car', 26, 13, 1)),
    *(
        ('truck', 27, 14, 1),
        ('bus', 28, 15, 1),
        ('train', 31, 16, 1),
        ('motorcycle', 32, 17, 1),
        ('bicycle', 33, 18, 1),
    ),
]
CITIES = {'train': (('aachen', 0), ('aachen', 1), ('bochum', 0)), 'val': (('lindau', 5),), 'test': (('berlin', 7),)}


def instance_ids(city, number, split):
    """Sky over road, a bus that is not scored in its lowest rows, two cars, and a group of cars: H x W."""
    values = np.full((makers.HEIGHT, makers.WIDTH), 23, np.int32)
    if split == 'test':
        return np.ones_like(values)
    values[20:] = 7
    values[44:] = 1
    values[24:34, 4:20] = 26001
    values[26:40, 22 + number : 40 + number] = 26000
    values[24:30, 46:60] = 26
    if city == 'bochum':
        values[10:40, 60:] = 24003
    return values


def write_official(root, training_numbers=False):
    """What is downloaded, and what the tool makes of it."""
    suffix = '_trainId' if training_numbers else ''
    for split, images in CITIES.items():
        listed, entries = [], []
        folder = f'cityscapes_panoptic_{split}{suffix}'
        for city, number in images:
            stem = f'{city}_{number:06d}_000019'
            values = instance_ids(city, number, split)
            makers.write_image(
                root / f'leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png',
                makers.photograph(number + sum(map(ord, city))),
            )
            (root / f'gtFine/{split}/{city}').mkdir(parents=True, exist_ok=True)
            ids = Image.fromarray(values.astype(np.uint16))
            ids.save(root / f'gtFine/{split}/{city}/{stem}_gtFine_instanceIds.png')
            segments = []
            colours = np.zeros((*values.shape, 3), np.uint8)
            for value in np.unique(values):
                label = int(value if value < 1000 else value // 1000)
                row = next((row for row in LABELS if row[1] == label), None)
                if row is None:
                    continue
                where = values == value
                colours[where] = [value % 256, value // 256, 0]
                y, x = np.nonzero(where)
                box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
                crowd = int(row[3] and value < 1000)
                segments.append(
                    {
                        'id': int(value),
                        'category_id': row[1 + training_numbers],
                        'area': int(where.sum()),
                        'bbox': box,
                        'iscrowd': crowd,
                    }
                )
            (root / f'gtFine/{folder}').mkdir(parents=True, exist_ok=True)
            Image.fromarray(colours).save(root / f'gtFine/{folder}/{stem}_gtFine_panoptic.png')
            listed.append(
                {
                    'id': stem,
                    'width': makers.WIDTH,
                    'height': makers.HEIGHT,
                    'file_name': f'{stem}_gtFine_leftImg8bit.png',
                }
            )
            entries.append({'image_id': stem, 'file_name': f'{stem}_gtFine_panoptic.png', 'segments_info': segments})
        categories = [{'id': row[1 + training_numbers], 'name': row[0], 'isthing': row[3]} for row in LABELS]
        content = {'images': listed, 'annotations': entries, 'categories': categories}
        makers.write_text(root / f'gtFine/{folder}.json', json.dumps(content))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')


@pytest.mark.parametrize('training_numbers', [False, True])
def test_a_perfect_prediction_of_converted_data_scores_all(training_numbers, tmp_path):
    from mmdet.datasets import CocoPanopticDataset
    from mmdet.evaluation import CocoPanopticMetric
    from mmdet.registry import TRANSFORMS
    from mmdet.structures.mask import BitmapMasks

    write_official(tmp_path / 'cityscapes', training_numbers)
    found = look([str(tmp_path / 'cityscapes')], options=Options())
    assert found.format == 'Cityscapes panoptic'
    assert not [problem.text for problem in found.problems if problem.serious]
    names = [row[0] for row in LABELS]
    assert found.classes == (*names[11:], *names[:11])
    assert found.things == 8
    parts, _ = parts_of(found, 0.2)
    layout = convert(found, parts, str(tmp_path / 'made'), 'panoptic')
    assert layout.images == {'train': 3, 'val': 1}

    meta = {'classes': found.classes, 'thing_classes': found.classes[:8], 'stuff_classes': found.classes[8:]}
    place = layout.splits['train']
    dataset = CocoPanopticDataset(
        data_root=layout.root,
        ann_file=place['ann_file'],
        metainfo=meta,
        data_prefix={'img': place['img'], 'seg': place['seg']},
        pipeline=[{'type': 'LoadImageFromFile'}, {'type': 'mmdet.LoadPanopticAnnotations'}],
    )
    load = TRANSFORMS.build({'type': 'mmdet.LoadPanopticAnnotations'})
    metric = CocoPanopticMetric(
        ann_file=str(tmp_path / 'made' / place['ann_file']), seg_prefix=str(tmp_path / 'made' / place['seg'])
    )
    metric.dataset_meta = meta
    road, sky, car, person = (found.classes.index(name) for name in ('road', 'sky', 'car', 'person'))
    for info in sorted((dataset.get_data_info(index) for index in range(3)), key=lambda info: info['img_path']):
        city, number = info['img_path'].rpartition('/')[2].split('_')[:2]
        truth = instance_ids(city, int(number), 'train')
        data = load({**info, 'ori_shape': truth.shape})
        values = np.full(truth.shape, 255)
        for value, label in ((7, road), (23, sky), (26, car), (26000, car), (26001, car), (24003, person)):
            values[truth == value] = label
        assert (data['gt_seg_map'] == values).all()
        # The group of cars is no instance, and no stuff either.
        assert data['gt_bboxes_labels'].tolist() == [person] * (city == 'bochum') + [car, car]
        assert isinstance(data['gt_masks'], BitmapMasks)
        assert data['gt_masks'].masks.sum() == (truth >= 1000).sum()
        panoptic = np.where(truth >= 1000, values + 1000 * (1 + truth % 1000), np.where(values == 255, 19, values))
        if city == 'aachen' and number == '000001':
            panoptic[truth == 26000] = person + 1000
        sample = {
            'img_id': info['img_id'],
            'img_path': info['img_path'],
            'ori_shape': truth.shape,
            'pred_panoptic_seg': {'sem_seg': torch.from_numpy(panoptic.astype(np.int32))[None]},
        }
        metric.process({}, [sample])
    scores = metric.evaluate(size=3)
    # Of six cars one is found as a person: 5 of cars, 1 + 1 of persons.
    car_quality, person_quality = 5 / (5 + 0.5), 1 / (1 + 0.5)
    assert scores['coco_panoptic/PQ_th'] == pytest.approx(50 * (car_quality + person_quality))
    assert scores['coco_panoptic/PQ_st'] == pytest.approx(100)
