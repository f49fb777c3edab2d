"""Detection from training to pictures."""

import json
import pickle
import re

import cv2
import numpy as np
import torch
from pycocotools import mask as coco

from mmvitdense import commands
from mmvitdense.apis.checkpoint import read_run_checkpoint

from .workshop import DETECTOR, TINY_DETECTOR, schedule


def test_a_killed_run_resumes_to_what_an_uninterrupted_run_gives(workshop, detector):
    options = {**TINY_DETECTOR, **schedule(8, 2)}
    resumed = workshop / 'resumed'
    workshop.run_and_kill(
        'train.py',
        DETECTOR,
        '--work-dir',
        resumed,
        options=options,
        when=lambda: (resumed / 'last_checkpoint').exists(),
    )
    assert not (resumed / 'iter_8.pth').exists()
    done = workshop.run('train.py', DETECTOR, '--work-dir', resumed, '--resume', options=options)
    assert f'the run of {resumed}/iter_' in done.stdout
    expected, found = (read_run_checkpoint(folder / 'iter_8.pth') for folder in (detector, resumed))
    assert expected['state_dict'].keys() == found['state_dict'].keys()
    for key, value in expected['state_dict'].items():
        torch.testing.assert_close(found['state_dict'][key], value, rtol=0, atol=0, msg=key)
    for index, moments in expected['optimizer']['state'].items():
        for name, value in moments.items():
            torch.testing.assert_close(found['optimizer']['state'][index][name], value, rtol=0, atol=0)


def test_training_changes_the_weights(detector):
    early, late = (read_run_checkpoint(detector / f'iter_{step}.pth')['state_dict'] for step in (2, 8))
    moved = [key for key, value in early.items() if not torch.equal(value, late[key])]
    assert len(moved) > 0.9 * len(early)


def test_evaluation_writes_predictions_metrics_and_pictures(workshop, detector):
    out = workshop / 'tested'
    done = workshop.run(
        'test.py',
        detector / DETECTOR.name,
        detector / 'iter_8.pth',
        *('--work-dir', out, '--out', out / 'p.pkl', '--json', out / 'm.json'),
        *('--show-dir', out / 'pictures', '--show-interval', 2, '--score-thr', 0.0),
    )
    metrics = json.loads((out / 'm.json').read_text())
    assert {'coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP_50'} <= metrics.keys()
    assert 'coco/bbox_mAP_50: ' in done.stdout
    _same_as_the_validation_of_the_run(metrics, detector)

    predictions = pickle.loads((out / 'p.pkl').read_bytes())
    assert len(predictions) == 5
    for prediction in predictions:
        assert prediction['pred_instances']['bboxes'].shape[1] == 4
        assert 'gt_instances' not in prediction
        masks = prediction['pred_instances']['masks']
        assert coco.decode(masks[0]).shape == (64, 64)

    pictures = sorted(path.name for path in (out / 'pictures').iterdir())
    assert pictures == ['000000_000000.png', '000002_000002.png', '000004_000004.png']
    assert cv2.imread(str(out / 'pictures' / pictures[0])).shape == (512, 1032, 3)
    assert not list(out.rglob('.*.pkl'))


def _same_as_the_validation_of_the_run(metrics, work_dir):
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    validated = json.loads(log.read_text().splitlines()[-1])
    assert validated['coco/bbox_mAP'] == metrics['coco/bbox_mAP']


def test_the_demo_draws_what_it_writes(workshop, detector):
    images = workshop / 'images'
    (images / 'sub').mkdir(parents=True)
    source = workshop / 'data/shapes/images/validation/000000.jpg'
    for name in ('a.jpg', 'sub/a.jpg'):
        (images / name).write_bytes(source.read_bytes())
    (images / 'broken.jpg').write_bytes(source.read_bytes()[:50])
    done = workshop.run(
        'image_demo.py',
        *(images, detector / DETECTOR.name, detector / 'iter_8.pth'),
        *('--out-dir', 'seen', '--device', 'cpu', '--score-thr', '0.05'),
        exit_code=1,
        fresh=True,
    )
    assert 'skipped broken.jpg' in done.stderr
    content = json.loads((workshop / 'seen/predictions.json').read_text())
    assert content['classes'] == ['circle', 'square', 'triangle', 'star', 'ring']
    assert sorted(content['images']) == ['a.jpg', 'sub/a.jpg']
    found = content['images']['a.jpg']
    assert found | {'picture': ''} == content['images']['sub/a.jpg'] | {'picture': ''}
    assert len(found['boxes']) == len(found['scores']) == len(found['names']) == len(found['masks']) > 0
    boxes = np.array(found['boxes'])
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    assert cv2.imread(str(workshop / 'seen' / found['picture'])).shape == (512, 512, 3)


def test_the_report_evaluates_the_run(workshop, detector, monkeypatch, tmp_path):
    monkeypatch.chdir(workshop.folder)
    page = tmp_path / 'report.html'
    assert commands.main(['report', str(detector), '--out', str(page)]) == 0
    text = page.read_text()
    assert 'iter_8.pth' in text
    # In the tables of the validations and of the evaluation: the checkpoint is the one that was validated last.
    found = re.findall(r'<td class=text>coco/segm_mAP_50</td><td>(.*?)</td>', text)
    assert len(found) == 2
    assert found[0] == found[1]
    plan = re.search(r'<td class=text>model</td><td class=text>(.*?)</td>', text)
    assert plan[1].startswith('MaskRCNN on PlainViT')
    made = {path.stem for path in tmp_path.glob('report/*.png')}
    assert {'losses', 'learning_rate', 'confusion_boxes', 'precision_recall_segm'} <= made
