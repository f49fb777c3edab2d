"""Random COCO data, and predictions that are near to it, wrong, double or of nothing."""

from __future__ import annotations

import json

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmvitdense.mask_codes import encode

CLASSES = ('ant', 'bee', 'cat', 'dog')
SORTED = (2, 7, 11, 40)
MIXED = (7, 2, 40, 11)
_SIZE = 120


def write_truth(path, ids=MIXED, images=12, seed=0, masks=True):
    """Write an annotation file; one image has no objects, one class none at all."""
    random = np.random.default_rng(seed)
    annotations = []
    for image in range(1, images):
        for _ in range(random.integers(1, 7)):
            box = _box(random)
            item = {'bbox': [*box[:2], box[2] - box[0], box[3] - box[1]], 'iscrowd': int(random.random() < 0.1)}
            item |= {'id': len(annotations) + 1, 'image_id': 10 * image, 'category_id': ids[random.integers(3)]}
            item['area'] = item['bbox'][2] * item['bbox'][3] * 0.7
            if masks:
                item['segmentation'] = encode(_mask(box))
            annotations.append(item)
    content = {
        'images': [
            {'id': 10 * image, 'file_name': f'{image}.png', 'height': _SIZE, 'width': _SIZE} for image in range(images)
        ],
        'categories': [{'id': number, 'name': name} for number, name in zip(ids, CLASSES)],
        'annotations': annotations,
    }
    path.write_text(json.dumps(content))
    return content


def predictions(content, seed=1, masks=True):
    """Data samples as the evaluator gives them, as dicts."""
    random = np.random.default_rng(seed)
    ids = [category['id'] for category in content['categories']]
    samples = []
    for image in content['images']:
        boxes, labels = [], []
        for item in content['annotations']:
            if item['image_id'] == image['id']:
                left, top, width, height = item['bbox']
                for _ in range(random.integers(0, 3)):
                    near = np.array([left, top, left + width, top + height]) + random.integers(-5, 6, 4)
                    boxes.append(_ordered(near))
                    wrong = random.random() < 0.25
                    labels.append(random.integers(4) if wrong else ids.index(item['category_id']))
        for _ in range(random.integers(0, 3)):
            boxes.append(_box(random))
            labels.append(random.integers(4))
        # Scores with ties.
        scores = random.integers(1, 20, len(boxes)) / 20
        found = InstanceData(
            bboxes=torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
            labels=torch.tensor(np.array(labels, np.int64)),
            scores=torch.tensor(scores, dtype=torch.float32),
        )
        if masks:
            maps = np.array([_mask(box) for box in boxes], bool).reshape(-1, _SIZE, _SIZE)
            found.masks = torch.tensor(maps)
        sample = {'img_id': image['id'], 'ori_shape': (_SIZE, _SIZE), 'pred_instances': found.to_dict()}
        samples.append(sample)
    return samples


def _box(random):
    left, top = random.integers(0, 70, 2)
    width, height = random.integers(8, 50, 2)
    return [int(left), int(top), int(left + width), int(top + height)]


def _ordered(box):
    box = np.clip(box, 0, _SIZE)
    return [box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)]


def _mask(box):
    mask = np.zeros((_SIZE, _SIZE), bool)
    left, top, right, bottom = (int(value) for value in box)
    mask[top:bottom, left:right] = True
    mask[top : top + (bottom - top) // 3, left : left + (right - left) // 3] = False
    return mask
