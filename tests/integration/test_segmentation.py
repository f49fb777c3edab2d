"""Segmentation from training to pictures, by one process and by two."""

import json
import pickle

import cv2
import numpy as np
import pytest
import torch

from mmvitdense.apis.checkpoint import read_run_checkpoint

from .conftest import SGD
from .workshop import SEGMENTOR, TINY_SEGMENTOR, schedule

CLASSES = ('background', 'circle', 'square', 'triangle', 'star', 'ring')


def weights(work_dir, step=4):
    return read_run_checkpoint(work_dir / f'iter_{step}.pth')['state_dict']


def test_two_processes_train_like_one_with_the_doubled_batch(workshop, segmentor):
    """With --auto, both take half of the images of a step, and the steps that they try alone change nothing."""
    options = {**TINY_SEGMENTOR, **SGD, **schedule(4, 4)}
    del options['train_dataloader.batch_size']
    options |= {'auto_scale_lr.base_batch_size': 4, 'optim_wrapper.type': 'OptimWrapper'}
    arguments = (SEGMENTOR, '--auto', '--work-dir', 'together')
    done = workshop.run('train.py', *arguments, options=options, processes=2, torchrun=True)
    assert '2 images x 2 process(es) x 1 accumulated = 4' in done.stdout
    expected, found = weights(segmentor), weights(workshop / 'together')
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f'{key}: {text}')
    start = weights(segmentor, step=1)
    assert sum(not torch.equal(start[key], value) for key, value in expected.items()) > 0.9 * len(start)


def test_two_processes_evaluate_like_the_run_did(workshop, segmentor):
    out = workshop / 'segmented'
    workshop.run(
        'test.py',
        segmentor / SEGMENTOR.name,
        segmentor / 'iter_4.pth',
        *('--work-dir', out, '--out', out / 'p.pkl', '--json', out / 'm.json', '--show-dir', out / 'pictures'),
        processes=2,
    )
    (log,) = segmentor.glob('*/vis_data/scalars.json')
    validated = json.loads(log.read_text().splitlines()[-1])
    metrics = json.loads((out / 'm.json').read_text())
    for name in ('mIoU', 'aAcc', 'mAcc'):
        assert metrics[name] == pytest.approx(validated[name], abs=1e-4)

    of_classes = [metrics[f'IoU.{name}'] for name in CLASSES]
    assert np.mean([value for value in of_classes if value is not None]) == pytest.approx(metrics['mIoU'], abs=0.01)
    assert {name.partition('.')[0] for name in metrics if '.' in name} == {'IoU', 'Acc'}

    predictions = pickle.loads((out / 'p.pkl').read_bytes())
    assert len(predictions) == 5
    assert all(prediction['pred_sem_seg']['data'].shape == (1, 64, 64) for prediction in predictions)
    assert not any('seg_logits' in prediction for prediction in predictions)
    assert aacc(workshop, predictions) == pytest.approx(metrics['aAcc'], abs=0.01)
    names = sorted(path.name for path in (out / 'pictures').iterdir())
    assert names == [f'{place:06d}_{place:06d}.png' for place in range(5)]


def test_two_equal_views_give_what_one_gives(workshop, segmentor):
    out = workshop / 'augmented'
    config = out / 'tta.py'
    out.mkdir()
    still = dict(type='RandomFlip', prob=0.0)
    views = [[still, still], [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]]
    pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=views)]
    base = str(segmentor / SEGMENTOR.name)
    config.write_text(f"_base_ = {base!r}\ntta_model = dict(type='SegTTAModel')\ntta_pipeline = {pipeline!r}\n")
    checkpoint = segmentor / 'iter_4.pth'
    workshop.run('test.py', config, checkpoint, '--tta', '--work-dir', out, '--json', out / 'm.json')
    (log,) = segmentor.glob('*/vis_data/scalars.json')
    validated = json.loads(log.read_text().splitlines()[-1])
    metrics = json.loads((out / 'm.json').read_text())
    for name in ('mIoU', 'aAcc', 'mAcc'):
        assert metrics[name] == pytest.approx(validated[name], abs=1e-4)


def aacc(workshop, predictions):
    """Pixel accuracy in percent, from the files."""
    right = []
    for prediction in predictions:
        name = prediction['img_path'].rpartition('/')[2].replace('.jpg', '.png')
        truth = cv2.imread(str(workshop / 'data/shapes/annotations/validation' / name), cv2.IMREAD_UNCHANGED)
        right.append(prediction['pred_sem_seg']['data'][0].numpy() == truth)
    return 100 * np.mean(right)


def test_the_demo_writes_label_maps(workshop, segmentor):
    folder = workshop / 'data/shapes/images/validation'
    workshop.run(
        *('image_demo.py', folder, segmentor / SEGMENTOR.name, segmentor / 'iter_4.pth', '--out-dir', 'mapped')
    )
    content = json.loads((workshop / 'mapped/predictions.json').read_text())
    assert len(content['images']) == 5
    for found in content['images'].values():
        labels = cv2.imread(str(workshop / 'mapped' / found['label_map']), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (64, 64)
        fractions = {CLASSES[label]: np.mean(labels == label) for label in np.unique(labels)}
        assert found['classes'] == pytest.approx(fractions)
        assert (workshop / 'mapped' / found['picture']).exists()
