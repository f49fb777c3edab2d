"""What is matched, confused and wrong, by hand and by the code of TIDE's authors."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from pycocotools.coco import COCO

from mmvitdense.evaluation.coco_metric import CocoMetric, compact
from mmvitdense.evaluation.coco_scores import Detections
from mmvitdense.evaluation.error_kinds import KINDS, error_kinds
from mmvitdense.evaluation.matching import Pair, confusion, excused, image_score, matched, pairs
from mmvitdense.evaluation.pixel_confusion import PixelConfusion, class_ious
from tests.evaluation.coco_samples import MIXED, predictions, write_truth

# Of tidecv 1.0.1 (`TIDE().evaluate` with mode 'bbox' and 'mask') on what `distinct` gives: counts, costs and AP50.
TIDECV = {
    'bbox': ((25, 47, 15, 30, 18, 79), (0.0892119, 0.1547834, 0.0135695, 0.0152822, 0.0175423, 0.1487451), 0.2661439),
    'segm': ((23, 48, 19, 28, 19, 79), (0.0859196, 0.1582572, 0.0185413, 0.0138831, 0.0191339, 0.1432408), 0.2564986),
}


def distinct(path):
    """Data without crowds, and predictions without ties, of the classes that have objects."""
    content = write_truth(path, images=60)
    for item in content['annotations']:
        item['iscrowd'] = 0
    path.write_text(json.dumps(content))
    samples = predictions(content)
    random = np.random.default_rng(9)
    for sample in samples:
        found = sample['pred_instances']
        scores = random.permutation(1000)[: len(found['scores'])] / 1000 + random.random() * 1e-3
        found['scores'] = torch.tensor(scores)
        known = found['labels'] < 3
        sample['pred_instances'] = {name: value[known] for name, value in found.items()}
    return samples


@pytest.mark.parametrize('kind', TIDECV)
def test_the_kinds_are_those_of_tide(kind, tmp_path):
    samples = distinct(tmp_path / 'truth.json')
    metric = CocoMetric(ann_file=str(tmp_path / 'truth.json'))
    metric.process({}, samples)
    found = [one for _, one in metric.results]
    truth = metric._coco_api
    kinds = error_kinds(pairs(truth, found, kind, MIXED, truth.getImgIds()), 4)
    counts, costs, ap = TIDECV[kind]
    assert tuple(kinds.counts[name] for name in KINDS) == counts
    np.testing.assert_allclose([kinds.costs[name] for name in KINDS], costs, atol=1e-6)
    assert kinds.ap == pytest.approx(ap, abs=1e-6)


def pair(ious, labels, scores, true_labels, in_crowd=None, crowd_labels=()):
    ious = np.asarray(ious, float).reshape(len(labels), len(true_labels))
    in_crowd = np.zeros((len(labels), 0)) if in_crowd is None else np.asarray(in_crowd, float)
    arrays = (np.asarray(values, int) for values in (labels, true_labels, crowd_labels))
    labels, true_labels, crowd_labels = arrays
    return Pair(1, np.asarray(scores, float), labels, true_labels, ious, crowd_labels, in_crowd)


def test_matches_and_the_score_of_an_image():
    # The second detection overlaps the first object more, but the first has the higher score.
    one = pair([[0.6, 0.0], [0.9, 0.0], [0.1, 0.7]], [0, 0, 1], [0.9, 0.8, 0.2], [0, 1])
    assert matched(one, 0.5).tolist() == [0, -1, 1]
    assert image_score(one, 0.5, 0.0) == pytest.approx(2 / (2 + 0.5 * 1))
    assert image_score(one, 0.5, 0.3) == pytest.approx(1 / (1 + 0.5 * (1 + 1)))
    assert np.isnan(image_score(pair([], [], [], []), 0.5, 0.3))


def test_what_lies_in_a_crowd_is_no_mistake():
    one = pair(np.zeros((2, 1)), [0, 1], [0.9, 0.8], [0], [[0.8], [0.8]], [0])
    assert excused(one, 0.5).tolist() == [True, False]
    kinds = error_kinds([one], 2)
    assert (kinds.counts['background'], kinds.counts['missed']) == (1, 1)


def test_confusion_of_boxes():
    # A box of the wrong class on object 0, one of nothing, one below the threshold; object 1 is missed.
    one = pair([[0.8, 0.2], [0.1, 0.0], [0.0, 0.9]], [2, 1, 1], [0.9, 0.8, 0.1], [0, 1])
    expected = np.zeros((4, 4), int)
    expected[0, 2] = expected[3, 1] = expected[1, 3] = 1
    np.testing.assert_array_equal(confusion([one], 3, 0.5, 0.3), expected)


def test_pixels_are_counted_as_mmseg_does():
    random = np.random.default_rng(0)
    meta = {'classes': ('a', 'b', 'c', 'd')}
    own, theirs = PixelConfusion(keep=2), IoUMetric(iou_metrics=['mIoU'])
    own.dataset_meta = theirs.dataset_meta = meta
    for place in range(5):
        true = random.integers(0, 3, (1, 20, 30))
        true[0, :3] = 255
        predicted = np.where(random.random(true.shape) < 0.2 * place, random.integers(0, 3, true.shape), true % 4)
        sample = {'pred_sem_seg': {'data': torch.tensor(predicted)}, 'gt_sem_seg': {'data': torch.tensor(true)}}
        for metric in (own, theirs):
            metric.process({}, [{**sample, 'img_path': f'{place}.png'}])
    with contextlib.redirect_stdout(io.StringIO()):
        expected = theirs.evaluate(5)
    assert own.evaluate(5) == {}
    ious, accuracies = class_ious(own.counts)
    assert np.isnan(ious[3])
    found = [100 * np.nanmean(values) for values in (ious, accuracies)]
    np.testing.assert_allclose(found, [expected['mIoU'], expected['mAcc']], atol=0.01)
    assert [kept.path for kept in own.worst] == ['4.png', '3.png']
    assert own.worst[0].score > own.worst[1].score


def test_masks_have_scores_of_their_own():
    truth = COCO()
    truth.dataset = {'images': [{'id': 1, 'height': 4, 'width': 4}], 'annotations': [], 'categories': []}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    one = Detections(
        1, np.zeros((2, 4)), np.array([0.1, 0.9]), np.array([0, 1]), np.array([0.8, 0.2]), (4, 4), [b'0', b'0']
    )
    (boxes,) = pairs(truth, [one], 'bbox', [5, 6], [1])
    (masks,) = pairs(truth, [one], 'segm', [5, 6], [1])
    assert (boxes.labels.tolist(), masks.labels.tolist()) == ([1, 0], [0, 1])
    assert compact({'img_id': 1, 'bboxes': 0, 'scores': 0, 'labels': 0}).mask_counts is None
