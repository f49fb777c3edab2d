"""The page of a run: what is read of a work dir, what is scored, and what is refused."""

import json
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmvitdense import commands
from mmvitdense.apis.run_report.evaluating import chosen_checkpoint
from mmvitdense.apis.run_report.run_files import read_run
from mmvitdense.datasets.shapes import write_shapes

LOG = """2026/11/26 10:46:40 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    PyTorch: 2.14.1
    PyTorch compiling details: PyTorch built with:
  - GCC 13.3

    OpenCV: 4.12.0

Runtime environment:
    seed: 0
2026/11/26 10:46:43 - mmengine - INFO - Training
  model            MaskRCNN on PlainViT, 1.6 M parameters
  batch            4 images x 1 process(es) x 1 accumulated = 4
  length           30 iterations, checkpoint every 600 iterations; 5
                   epochs
2026/11/26 10:46:44 - mmengine - INFO - Checkpoints will be saved to work.
"""
CONFIG = """
_base_ = 'mmvitdense::_base_/datasets/shapes_{kind}.py'
custom_imports = dict(imports=['mmvitdense'], allow_failed_imports=False)
default_scope = '{scope}'
"""


def train(step, **more):
    return {'lr': 0.1 / step, 'loss': 5 / step, 'loss_cls': 2 / step, 'time': 0.1, 'iter': step, 'step': step, **more}


def write_run(folder, *records, time='20260101_000000', config=None):
    data = folder / time / 'vis_data'
    data.mkdir(parents=True)
    (data / 'scalars.json').write_text(''.join(json.dumps(record) + '\n' for record in records))
    (folder / time / f'{time}.log').write_text(LOG)
    if config:
        (data / 'config.py').write_text(config)
    return folder


def test_a_run_that_was_resumed_is_one(tmp_path):
    run = tmp_path / 'run'
    write_run(run, train(10), train(20), {'mAP': 0.1, 'step': 0, 'time': 1}, train(30), {'mAP': 0.3, 'step': 0})
    write_run(run, train(30, memory=5), {'mAP': 0.2, 'bbox_mAP_l': -1, 'step': 35}, time='20260102_000000')
    path = run / '20260102_000000/vis_data/scalars.json'
    path.write_text(path.read_text() + '{"loss": 1, "st')  # killed
    write_run(run, {'mAP': 1.0, 'step': 0}, time='20260103_000000')  # a test
    found = read_run(run)
    assert found.training['loss'] == ([10, 20, 30], [0.5, 0.25, 5 / 30])
    assert found.training['memory'] == ([30], [5])
    assert found.metrics['mAP'] == ([20, 35], [0.1, 0.2])
    assert found.best_metrics() == {'mAP': 0.2}
    assert math.isnan(found.last_metrics()['bbox_mAP_l'])
    assert found.plan[0] == ('model', 'MaskRCNN on PlainViT, 1.6 M parameters')
    assert found.plan[-1] == ('length', '30 iterations, checkpoint every 600 iterations; 5 epochs')
    assert found.environment == [('sys.platform', 'linux'), ('PyTorch', '2.14.1'), ('OpenCV', '4.12.0')]


def test_the_page_of_curves_and_a_comparison(tmp_path, capsys):
    metrics = [{'coco/bbox_mAP': value, 'step': 0} for value in (0.05, 0.1)]
    one = write_run(tmp_path / 'a<b', train(10), metrics[0], train(20, memory=7), metrics[1])
    other = write_run(tmp_path / 'other', train(10), {'coco/bbox_mAP': 0.25, 'step': 1}, train(20))
    page = tmp_path / 'seen' / 'page.html'
    assert commands.main(['report', str(one), '--compare', str(other), '--out', str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert 'a&lt;b' in text
    assert 'a<b' not in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert '<td>0.1</td><td>0.25</td>' in text
    assert 'No checkpoint was evaluated' in text
    pictures = {path.stem for path in (tmp_path / 'seen/page').glob('*.png')}
    own = {'losses', 'learning_rate', 'time', 'memory', 'metrics'}
    assert pictures == own | {'compared_loss', 'compared_lr', 'compared_metric0'}
    for path in (tmp_path / 'seen/page').glob('*.png'):
        assert path.read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['nowhere'], 'is no folder'),
        (['empty'], 'is not the work dir of a training'),
        (['run', '--compare', 'empty'], 'empty is not the work dir'),
        (['run', '--out', 'page.pdf'], 'ends with .html'),
        (['run', '--score-thr', '2'], '--score-thr must be from 0 to 1'),
        (['run', '--checkpoint', 'gone.pth'], 'there is no such file'),
        (['run', '--checkpoint', 'last'], 'run holds no checkpoint'),
        (['run', '--results', 'run'], '--results run cannot be read'),
        (['run', '--results', 'code.pkl'], 'holds posix.system, which is no array'),
    ],
)
def test_what_cannot_be_meant(arguments, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / 'run', train(10), config=CONFIG.format(kind='detection', scope='mmdet'))
    (tmp_path / 'empty').mkdir()
    Path('code.pkl').write_bytes(b'cposix\nsystem\n(S"true"\ntR.')
    assert commands.main(['report', *arguments]) == 2
    assert text in capsys.readouterr().err.splitlines()[-1]
    assert not Path('run/report.html').exists()


def test_the_best_checkpoint_or_the_last(tmp_path):
    run = read_run(write_run(tmp_path / 'run', train(10)))
    assert chosen_checkpoint(run, 'best') is None
    torch.save({'meta': {}, 'state_dict': {'weight': torch.zeros(1)}}, run.folder / 'iter_10.pth')
    assert chosen_checkpoint(run, 'best').endswith('iter_10.pth')
    (run.folder / 'best_mIoU_iter_5.pth').touch()
    assert chosen_checkpoint(run, 'best').endswith('best_mIoU_iter_5.pth')
    assert chosen_checkpoint(run, 'last').endswith('iter_10.pth')
    assert chosen_checkpoint(run, 'none') is None


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    write_shapes(folder / 'data' / 'shapes', 1, 4, image_size=64, seed=0)
    return folder


def results(kind, scope):
    """Predictions that are the labels, but of the last image nothing, and of the first one class for another."""
    cfg = Config.fromfile(f'{kind}.py')
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        samples = [dataset[place]['data_samples'] for place in range(len(dataset))]
    found = []
    for place, sample in enumerate(samples):
        one = {'img_id': sample.get('img_id'), 'img_path': sample.img_path, 'ori_shape': sample.ori_shape}
        if kind == 'segmentation':
            true = sample.gt_sem_seg.data
            one['pred_sem_seg'] = {'data': torch.where(true == 1, 2, true) if place == 0 else true}
        if kind == 'panoptic':
            # Each class is one segment: right where a class has one object.
            true = sample.gt_sem_seg.sem_seg
            one['pred_panoptic_seg'] = {'sem_seg': true.long() + 1000}
        if kind != 'segmentation':
            one['pred_instances'] = _detections(sample.gt_instances, place, len(samples))
        found.append(one)
    return found


def _detections(true, place, number):
    from mmdet.structures.mask import encode_mask_results

    keep = slice(0, 0) if place == number - 1 else slice(None)
    labels = torch.as_tensor(true.labels)[keep]
    boxes = getattr(true.bboxes, 'tensor', true.bboxes)[keep]
    masks = encode_mask_results(true.masks.to_ndarray()[keep].astype(bool))
    labels = (labels + 1) % 5 if place == 0 else labels
    return {'bboxes': boxes.float(), 'labels': labels, 'scores': torch.full((len(labels),), 0.9), 'masks': masks}


@pytest.mark.parametrize(
    ('kind', 'scope', 'titles', 'plots'),
    [
        (
            'detection',
            'mmdet',
            (
                'Classes: boxes',
                'Classes: masks',
                'Kinds of mistakes, masks',
                'Confusion of boxes',
                'Average precision by size',
            ),
            {'confusion_boxes', 'precision_recall_bbox', 'precision_recall_segm'},
        ),
        ('segmentation', 'mmseg', ('Classes: pixels', 'Confusion of pixels'), {'confusion_pixels'}),
        (
            'panoptic',
            'mmdet',
            ('Classes: panoptic segments', 'Confusion of pixels', 'Classes: masks'),
            {'confusion_pixels', 'confusion_boxes', 'precision_recall_bbox', 'precision_recall_segm'},
        ),
    ],
)
def test_predictions_of_a_file(kind, scope, titles, plots, shapes, monkeypatch):
    monkeypatch.chdir(shapes)
    text = CONFIG.format(kind=kind, scope=scope)
    Path(f'{kind}.py').write_text(text)
    write_run(shapes / kind, train(10), config=text)
    found = results(kind, scope)
    Path('results.pkl').write_bytes(pickle.dumps(found))
    assert commands.main(['report', kind, '--results', 'results.pkl']) == 0
    page = Path(kind, 'report.html').read_text()
    for title in (*titles, 'Worst images'):
        assert title in page, title
    assert page.count('data:image/jpeg;base64,') == 4
    made = {path.stem for path in Path(kind, 'report').glob('*.png')}
    assert made - {'losses', 'learning_rate', 'time'} == plots
    # The worst image is the one of which nothing, or the wrong class, was found.
    worst = re.findall(r'<figcaption>(.*?)</figcaption>', page)
    if kind == 'detection':
        assert {text.partition(':')[0] for text in worst[:2]} == {'000000.jpg', '000003.jpg'}
        assert re.search(r'<td class=text>missed</td>.*?<td>[1-9]', page)
    if kind == 'segmentation':
        assert worst[0].startswith('000000.jpg')
        computed = re.search(r'<td class=text>mIoU</td><td>([0-9.]+)</td>', page)
        shown = re.search(r'<td class=text>mean</td><td>([0-9.]+)</td>', page)
        assert 10 < float(computed[1]) == pytest.approx(float(shown[1]), abs=0.06)
        assert worst[-1].endswith('mean IoU 100.0')
    if kind == 'panoptic':
        assert 'PQ' in worst[0]
        assert re.search(r'<td class=text>background</td><td>100.0</td>', page)


def test_a_metric_of_other_kinds(shapes, monkeypatch):
    """VOC's AP and proposals have boxes to draw and to compare, or none."""
    monkeypatch.chdir(shapes)
    text = CONFIG.format(kind='detection', scope='mmdet')
    Path('detection.py').write_text(text)
    Path('results.pkl').write_bytes(pickle.dumps(results('detection', 'mmdet')))
    write_run(shapes / 'voc', train(10), config=text + "test_evaluator = dict(_delete_=True, type='VOCMetric')\n")
    assert commands.main(['report', 'voc', '--results', 'results.pkl']) == 0
    assert 'Confusion of boxes' in Path('voc/report.html').read_text()
    write_run(shapes / 'proposals', train(10), config=text + "test_evaluator = dict(metric='proposal')\n")
    assert commands.main(['report', 'proposals', '--results', 'results.pkl']) == 0
    assert 'Classes: boxes' not in Path('proposals/report.html').read_text()


def test_predictions_of_other_data(shapes, monkeypatch, capsys):
    monkeypatch.chdir(shapes)
    write_run(shapes / 'short', train(10), config=CONFIG.format(kind='detection', scope='mmdet'))
    Path('short.pkl').write_bytes(pickle.dumps([{'img_id': np.int64(1)}]))
    assert commands.main(['report', 'short', '--results', 'short.pkl']) == 2
    assert 'has predictions of 1 images, and the test set of' in capsys.readouterr().err
