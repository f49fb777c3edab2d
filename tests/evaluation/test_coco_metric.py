"""Our COCO metric gives mmdet's numbers."""

import copy

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.registry import METRICS, DefaultScope

from mmvitdense.apis.own_metrics import with_own_metrics
from mmvitdense.apis.run_log import run_log
from mmvitdense.evaluation import coco_scores
from mmvitdense.evaluation.coco_metric import CocoMetric
from tests.evaluation.coco_samples import CLASSES, MIXED, SORTED, predictions, write_truth

OPTIONS = [
    dict(metric=['bbox', 'segm']),
    dict(metric='segm', proposal_nums=(1, 10, 100), metric_items=['mAP_50', 'AR@300']),
    dict(metric='bbox', iou_thrs=np.array([0.6, 0.7])),
    dict(metric=['bbox', 'proposal']),
]


def evaluate(kind, samples, **options):
    metric = kind(**options)
    metric.dataset_meta = {'classes': CLASSES}
    for start in range(0, len(samples), 5):
        metric.process({}, copy.deepcopy(samples[start : start + 5]))
    return metric.evaluate(len(samples))


def check(path, samples, **options):
    expected = evaluate(MMDetCocoMetric, samples, ann_file=str(path), **options)
    np.testing.assert_equal(evaluate(CocoMetric, samples, ann_file=str(path), **options), expected)
    return expected


@pytest.fixture
def _few_at_once(monkeypatch):
    monkeypatch.setattr(coco_scores, '_AT_ONCE', 20)  # one category at a time, or two


@pytest.mark.usefixtures('_few_at_once')
@pytest.mark.parametrize('options', OPTIONS, ids=lambda options: str(options['metric']))
def test_the_numbers_are_those_of_mmdet(options, tmp_path):
    content = write_truth(tmp_path / 'truth.json')
    found = check(tmp_path / 'truth.json', predictions(content), **options)
    assert 0.05 < max(found.values()) < 1


@pytest.mark.usefixtures('_few_at_once')
def test_those_of_classes_too_whatever_the_order_of_their_ids(tmp_path):
    """mmdet gives them to the wrong classes where the ids of the categories are not in order."""
    options = dict(metric=['segm'], classwise=True)
    content = write_truth(tmp_path / 'sorted.json', SORTED)
    expected = check(tmp_path / 'sorted.json', predictions(content), **options)
    assert 0 < expected['coco/ant_precision'] != expected['coco/bee_precision'] > 0
    content = write_truth(tmp_path / 'mixed.json', MIXED)
    samples = predictions(content)
    np.testing.assert_equal(evaluate(CocoMetric, samples, ann_file=str(tmp_path / 'mixed.json'), **options), expected)


def test_few_detections_are_objects_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_scores, '_AT_ONCE', 20)
    given, make = [], coco_scores._annotations

    def noted(*arguments):
        given.append(make(*arguments))
        return given[-1]

    monkeypatch.setattr(coco_scores, '_annotations', noted)
    samples = predictions(write_truth(tmp_path / 'truth.json', images=8))
    evaluate(CocoMetric, samples, ann_file=str(tmp_path / 'truth.json'))
    labels = torch.cat([sample['pred_instances']['labels'] for sample in samples])
    assert sum(map(len, given)) == len(labels) > 30
    largest = int(labels.bincount().max())
    assert max(map(len, given)) <= max(20, largest) < len(labels)


def test_the_libraries_agree(tmp_path):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is not installed')
    content = write_truth(tmp_path / 'truth.json', images=40)
    metric = CocoMetric(ann_file=str(tmp_path / 'truth.json'))
    metric.process({}, predictions(content))
    found = [one for _, one in metric.results]
    truth = metric._coco_api
    for kind in ('bbox', 'segm'):
        one, other = (
            coco_scores.coco_scores(truth, found, kind, MIXED, truth.getImgIds(), [0.5, 0.75], (1, 10, 100), by=by)
            for by in coco_scores.BOTH
        )
        np.testing.assert_allclose(one.precision, other.precision, atol=1e-12)
        np.testing.assert_array_equal(one.recall, other.recall)


def test_images_named_by_text_are_left_to_pycocotools(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: object())
    assert coco_scores.library([1, np.int64(2)]) == 'faster-coco-eval'
    assert coco_scores.library(['a', 'b']) == 'pycocotools'


def test_masks_that_are_not_there(tmp_path):
    content = write_truth(tmp_path / 'truth.json')
    with pytest.raises(KeyError, match='predicts no masks'):
        evaluate(CocoMetric, predictions(content, masks=False), ann_file=str(tmp_path / 'truth.json'), metric='segm')


def test_nothing_found_has_scores(tmp_path):
    content = write_truth(tmp_path / 'truth.json')
    samples = predictions(content)
    for sample in samples:
        sample['pred_instances'] = {name: value[:0] for name, value in sample['pred_instances'].items()}
    found = evaluate(CocoMetric, samples, ann_file=str(tmp_path / 'truth.json'), metric=['bbox', 'segm'])
    assert (found['coco/segm_mAP'], found['coco/bbox_mAP_50']) == (0, 0)


def test_the_truth_may_come_with_the_images(tmp_path):
    content = write_truth(tmp_path / 'truth.json', SORTED)
    samples = predictions(content)
    for sample in samples:
        of_image = [item for item in content['annotations'] if item['image_id'] == sample['img_id']]
        sample['instances'] = [
            {
                'bbox': [*item['bbox'][:2], *np.add(item['bbox'][:2], item['bbox'][2:]).tolist()],
                'bbox_label': SORTED.index(item['category_id']),
                'mask': item['segmentation'],
                'ignore_flag': item['iscrowd'],
            }
            for item in of_image
        ]
    options = dict(metric=['bbox', 'segm'])
    np.testing.assert_equal(evaluate(CocoMetric, samples, **options), evaluate(MMDetCocoMetric, samples, **options))


def test_configs_that_name_mmdets_get_ours():
    with DefaultScope.overwrite_default_scope('mmdet'):
        found = with_own_metrics([dict(type='CocoMetric'), dict(type='mmdet.CocoMetric'), dict(type='VOCMetric')])
        assert [one['type'] for one in found] == ['mmvitdense.CocoMetric'] * 2 + ['VOCMetric']
        given = dict(type='MultiDatasetsEvaluator', metrics=[dict(type=MMDetCocoMetric, metric='bbox')])
        found = with_own_metrics(given)
        assert given['metrics'][0]['type'] is MMDetCocoMetric
        assert isinstance(METRICS.build(found['metrics'][0]), CocoMetric)
    with DefaultScope.overwrite_default_scope('mmpose'):
        assert with_own_metrics(dict(type='CocoMetric'))['type'] == 'CocoMetric'


@pytest.mark.parametrize('tables', [False, True])
def test_the_terminal_of_a_training_has_no_tables(tables, tmp_path, capsys):
    content = write_truth(tmp_path / 'truth.json')
    options = dict(ann_file=str(tmp_path / 'truth.json'), classwise=True)
    with run_log(tables):
        evaluate(CocoMetric, predictions(content), **options)
    said = capsys.readouterr().out
    assert [text in said for text in ('Evaluating bbox', 'mAP_50', 'copypaste')] == [tables] * 3
