"""Panoptic data loads and is scored without panopticapi; an installed one is used."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmvitdense.compat import panopticapi
from mmvitdense.compat.panoptic_quality import PQStat, id2rgb, rgb2id
from mmvitdense.datasets.shape_scenes import CLASSES

pytest.importorskip('mmdet')

NAMES = (*CLASSES, 'background')


def test_an_installed_panopticapi_is_used(monkeypatch):
    monkeypatch.setattr(panopticapi, '_is_installed', lambda: True)
    module = SimpleNamespace(rgb2id='the real one')  # what lacks the transform would be an error
    panopticapi._give_names(module)
    panopticapi._load_without(module)
    assert module.rgb2id == 'the real one'


def test_nothing_of_that_name_appears(tools_python):
    if importlib.util.find_spec('panopticapi') is not None:
        pytest.skip('panopticapi is installed')
    code = """
import mmvitdense, importlib.util, sys
from mmdet.evaluation.functional import panoptic_utils
from mmdet.datasets.transforms import LoadPanopticAnnotations
assert LoadPanopticAnnotations(with_mask=False).rgb2id is panoptic_utils.rgb2id
print(panoptic_utils.PQStat.__module__, importlib.util.find_spec('panopticapi'))
print([name for name in sys.modules if name.split('.')[0] == 'panopticapi'])
"""
    done = tools_python.run(['-c', code])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ['mmvitdense.compat.panoptic_quality None', '[]']


def test_the_transform_takes_the_arguments_of_mmdet():
    from mmdet.datasets.transforms import LoadPanopticAnnotations

    transform = LoadPanopticAnnotations(with_mask=False, imdecode_backend='pillow')
    assert (transform.with_mask, transform.with_seg, transform.with_keypoints) == (False, True, False)
    assert transform.imdecode_backend == 'pillow'
    with pytest.raises(TypeError, match='with_masks'):
        LoadPanopticAnnotations(with_masks=False)


def test_ids_and_colours():
    assert rgb2id([1, 2, 3]) == 1 + 2 * 256 + 3 * 256**2
    assert id2rgb(1 + 2 * 256 + 3 * 256**2) == [1, 2, 3]
    colours = np.random.randint(0, 256, (5, 7, 3), np.uint8)
    ids = rgb2id(colours)
    assert ids.shape == (5, 7)
    assert ids[2, 3] == int.from_bytes(colours[2, 3].tobytes(), 'little')
    np.testing.assert_array_equal(id2rgb(ids), colours)
    assert id2rgb(ids).dtype == np.uint8


def test_qualities_of_the_formula():
    """PQ = sum of IoU / (TP + FP / 2 + FN / 2) = SQ x RQ, averaged over the classes that occur."""
    first, second = PQStat(), PQStat()
    first[3].tp, first[3].iou = 1, 0.8
    second[3].tp, second[3].iou, second[3].fp, second[3].fn = 1, 0.6, 2, 1
    second[7].fn = 4
    first += second
    categories = {3: {'isthing': 1}, 5: {'isthing': 1}, 7: {'isthing': 0}}
    things, each = first.pq_average(categories, isthing=True)
    assert things == pytest.approx({'pq': 1.4 / 3.5, 'sq': 0.7, 'rq': 2 / 3.5, 'n': 1})
    assert each[3] == pytest.approx({'pq': 1.4 / 3.5, 'sq': 0.7, 'rq': 2 / 3.5})
    assert each[5] == {'pq': 0, 'sq': 0, 'rq': 0}
    everything, each = first.pq_average(categories, isthing=None)
    assert everything == pytest.approx({'pq': 0.7 / 3.5, 'sq': 0.35, 'rq': 1 / 3.5, 'n': 2})
    assert list(each) == [3, 5, 7]
    assert first.pq_average({5: {'isthing': 1}}, isthing=None)[0]['n'] == 0


def truth(root):
    """(image id, file name, label of each segment, one mask for each segment) of the validation images."""
    content = json.loads((root / 'annotations/panoptic_validation.json').read_text())
    for annotation in content['annotations']:
        picture = np.asarray(Image.open(root / 'annotations/panoptic_validation' / annotation['file_name'])).astype(int)
        ids = picture @ [1, 256, 65536]
        segments = annotation['segments_info']
        labels = [segment['category_id'] - 1 for segment in segments]
        yield annotation['image_id'], annotation['file_name'], labels, [ids == segment['id'] for segment in segments]


def predicted(labels, masks, change):
    """What a model that errs predicts: H x W of label + 1000 x instance, the number of classes where nothing is."""
    found = np.full(masks[0].shape, len(NAMES))
    for number, (label, mask) in enumerate(zip(labels, masks), start=1):
        label = (label + 1) % len(CLASSES) if change == 'labels' and number == 1 else label
        shifted = np.roll(mask, 8, axis=1) if change == 'places' else mask
        instance = number if label < len(CLASSES) else 0
        found[shifted] = label + 1000 * instance
    return found


def quality(images):
    """PQ by brute force: IoU of all pairs of segments, matched where it is above a half. No void, no crowds."""
    scores = []
    for label in range(len(NAMES)):
        iou, matched, wanted, found = 0.0, 0, 0, 0
        for labels, masks, prediction in images:
            own = [mask for mask, of in zip(masks, labels) if of == label]
            others = [prediction == value for value in np.unique(prediction) if value % 1000 == label]
            pairs = [(a & b).sum() / (a | b).sum() for a in own for b in others]
            good = [value for value in pairs if value > 0.5]
            iou, matched = iou + sum(good), matched + len(good)
            wanted, found = wanted + len(own), found + len(others)
        if wanted + found:
            scores.append(iou / (matched + (wanted - matched) / 2 + (found - matched) / 2))
    return 100 * np.mean(scores)


@pytest.mark.parametrize('change', ['nothing', 'labels', 'places'])
@pytest.mark.parametrize('outfile', [False, True])
def test_the_metric_of_mmdet(shapes_root, tmp_path, change, outfile):
    from mmdet.evaluation import CocoPanopticMetric

    folder = shapes_root / 'annotations'
    metric = CocoPanopticMetric(
        ann_file=str(folder / 'panoptic_validation.json'),
        seg_prefix=str(folder / 'panoptic_validation'),
        outfile_prefix=str(tmp_path / 'results') if outfile else None,
        nproc=1,
    )
    metric.dataset_meta = {'classes': NAMES, 'thing_classes': CLASSES, 'stuff_classes': ('background',)}
    images = []
    for image_id, name, labels, masks in truth(shapes_root):
        prediction = predicted(labels, masks, change)
        images.append((labels, masks, prediction))
        data = {'sem_seg': torch.from_numpy(prediction.astype(np.int32))[None]}
        sample = {'img_id': image_id, 'img_path': name, 'ori_shape': prediction.shape, 'pred_panoptic_seg': data}
        metric.process({}, [sample])
    scores = metric.evaluate(size=len(images))
    expected = quality(images)
    assert scores['coco_panoptic/PQ'] == pytest.approx(expected)
    assert expected == 100 if change == 'nothing' else 10 < expected < 95
