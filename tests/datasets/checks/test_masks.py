"""Masks that cannot be decoded, and configs that ask for masks where there are none."""

import itertools
import json
import logging
import os

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from pycocotools import mask as pycocotools

from mmvitdense.datasets.bad_images import guard_images
from mmvitdense.datasets.checks import DataError, check_data
from mmvitdense.datasets.checks.coco_masks import rle_totals
from mmvitdense.datasets.outside import OUTSIDE

FAR = 1e9
HUGE = {'size': [200_000, 200_000], 'counts': [4 * 10**10]}


def test_compressed_rles_against_pycocotools():
    rng = np.random.default_rng(0)
    texts, pixels, boundaries = [], [], []
    for number in range(300):
        mask = (rng.random(rng.integers(1, 60, 2)) < rng.random()).astype(np.uint8)
        if number % 3 == 0:
            mask = np.kron(mask, np.ones((25, 1), np.uint8))
        texts.append(pycocotools.encode(np.asfortranarray(mask))['counts'].decode())
        pixels.append(mask.size)
        boundaries.append(texts[-1][:-1] + chr(ord(texts[-1][-1]) | 32) if ord(texts[-1][-1]) < 80 else '')
    totals, whole = rle_totals(texts)
    assert whole.all()
    assert totals.tolist() == pixels
    mixed = [text for pair in zip(texts, itertools.cycle(['', 'hello world', '\u20ac', 'P', 'ab'])) for text in pair]
    totals, whole = rle_totals(mixed)
    assert whole[::2].all()
    assert totals[::2].tolist() == pixels, 'a broken text leaves its neighbours alone'
    assert not whole[1::2].any()


@pytest.mark.parametrize(
    ('mask', 'words'),
    [
        ([[1, 2, 3]], 'no polygon of three points'),
        ([[1, 2, 30, 40]], 'no polygon of three points'),
        ([[]], 'no polygon of three points'),
        ([1, 2, 30, 2, 30, 40], 'is a list of numbers'),
        ([[1, 2, 30, 2, 30, float('nan')]], 'not finite numbers'),
        ([[1, 2, 30, 2, 30, None]], 'not finite numbers'),
        ([['1', '2', '30', '2', '30', '40']], 'not finite numbers'),
        ([[1, 2, FAR, 2, 30, 40]], 'far out of its image'),
        ([{'size': [48, 64], 'counts': [1, 3070, 1]}], 'RLE inside a list'),
        ({'size': [64, 48], 'counts': [1, 3070, 1]}, 'an RLE of 48x64 pixels in an image of 64x48'),
        ({'size': [48, 64]}, 'counts are not'),
        ({'size': ['48', '64'], 'counts': [1, 3070, 1]}, 'size is not'),
        ({'size': [48, 64], 'counts': [1, 9999, 1]}, 'counts are not'),
        ({'size': [48, 64], 'counts': [-1, 3072, 1]}, 'counts are not'),
        ({'size': [48, 64], 'counts': [1.5, 3069.5, 1]}, 'counts are not'),
        ({'size': [48, 64], 'counts': 'hello world'}, 'counts are not'),
        (HUGE, 'size is not'),
        ('polygon', 'neither a list'),
    ],
)
@pytest.mark.parametrize('split', ['train', 'val'])
def test_broken_masks_are_named(coco, refused, mask, words, split):
    """Some of these end the process in pycocotools, some stop the training, some are dropped without a word."""
    coco.annotations[3]['segmentation'] = mask
    coco.write()
    message = refused(coco.config(), splits=[split])
    assert f'{coco.file} are not as they should be: annotation 4 (2.jpg) ' in message
    assert words in message


@pytest.mark.parametrize('broken', [[[1, 2, 3, 4], None], [None, [1, 2, 3, 4]]])
def test_parts_of_masks(coco, refused, log, broken):
    """pycocotools takes a first part of four numbers for a box and fails; later ones it draws as lines."""
    whole = coco.annotations[3]['segmentation'][0]
    coco.annotations[3]['segmentation'] = [part or whole for part in broken]
    if broken[0]:
        with pytest.raises(TypeError):
            pycocotools.frPyObjects(coco.annotations[3]['segmentation'], 48, 64)
    coco.write()
    assert 'annotation 4 (2.jpg)' in refused(coco.config(), splits=['train']), '1 of 8 is more than 1 %'
    if broken[0]:
        assert 'first part' in refused(coco.config(), splits=['val'])
        return
    cfg = coco.config()
    cfg.val_dataloader.dataset.pipeline[1].with_mask = False
    check_data(cfg, splits=['val'])
    assert [line for level, line in log if level == logging.WARNING and 'annotation 4 (2.jpg)' in line]


def test_masks_that_are_not_loaded_are_no_matter(coco):
    coco.annotations[3]['segmentation'] = [[1, 2, FAR, 2, 30, 40]]
    coco.write()
    check_data(boxes_alone(coco.config()))


def test_rle_needs_bitmaps(coco, refused):
    for annotation in coco.annotations:
        annotation['segmentation'] = {'size': [48, 64], 'counts': [1, 3070, 1]}
    coco.write()
    cfg = coco.config()
    check_data(cfg)
    cfg.train_dataloader.dataset.pipeline[1].poly2mask = False
    assert 'poly2mask=True' in refused(cfg)


def boxes_alone(cfg):
    cfg.model.roi_head.mask_head = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline[1].with_mask = False
    cfg.val_evaluator.metric = 'bbox'
    return cfg


class TestDataWithoutMasks:
    @pytest.fixture
    def cfg(self, coco):
        """A config of all splits with masks, on data with boxes alone."""
        for annotation in coco.annotations:
            del annotation['segmentation']
        coco.write()
        cfg = coco.config()
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
        return cfg

    def test_everything_to_change_is_said_at_once(self, cfg, refused, mended):
        message = refused(cfg)
        assert '8 of 8 objects in' in message
        options = message.partition('--cfg-options ')[2].split()
        assert options == [
            'model.roi_head.mask_head=None',
            'train_dataloader.dataset.pipeline.1.with_mask=False',
            'val_dataloader.dataset.pipeline.1.with_mask=False',
            'val_evaluator.metric=bbox',
            'test_dataloader.dataset.pipeline.1.with_mask=False',
            'test_evaluator.metric=bbox',
        ]
        mended(cfg, message, splits=['train', 'val', 'test'])

    def test_a_model_of_boxes_alone(self, cfg, refused, mended):
        cfg.model = dict(type='RetinaNet', bbox_head=dict(type='RetinaHead', num_classes=3))
        message = refused(cfg)
        assert 'model.' not in message
        assert 'val_evaluator.metric=bbox' in message
        mended(cfg, message, splits=['train', 'val', 'test'])

    def test_a_model_of_masks_alone(self, cfg, refused):
        loss = dict(type='CrossEntropyLoss', class_weight=[1.0] * 3 + [0.1])
        head = dict(type='Mask2FormerHead', num_things_classes=3, num_stuff_classes=0, loss_cls=loss)
        cfg.model = dict(type='Mask2Former', panoptic_head=head)
        message = refused(cfg)
        assert 'model.panoptic_head is trained on them' in message
        assert '--cfg-options' not in message
        assert 'such as mmvitdense::vitdet/vitdet-b-mae_faster-rcnn_lsj-100e_coco.py' in message

    def test_a_test_leaves_training_alone(self, cfg, refused, mended):
        message = refused(cfg, splits=['test'])
        assert 'train_dataloader' not in message
        assert 'mask_head' not in message
        mended(cfg, message, splits=['test'])

    def test_a_few_objects_without_masks(self, coco, refused):
        del coco.annotations[5]['segmentation']
        coco.write()
        assert '1 of 8 objects' in refused(coco.config(), splits=['train'])


def test_masks_that_are_scored_and_never_predicted(coco, refused, mended):
    """CocoMetric fails with a KeyError at the first evaluation."""
    cfg = boxes_alone(coco.config())
    cfg.val_evaluator.metric = ['bbox', 'segm']
    message = refused(cfg)
    assert 'MaskRCNN as configured predicts boxes alone' in message
    mended(cfg, message)


def test_masks_that_the_pipeline_does_not_load(coco, refused, mended):
    cfg = coco.config()
    cfg.train_dataloader.dataset.pipeline[1].with_mask = False
    message = refused(cfg)
    assert 'train_dataloader.dataset.pipeline.1.with_mask=True' in message
    cfg.train_dataloader.dataset.pipeline[1].with_mask = True
    check_data(cfg)


def lvis(coco):
    """The data as LVIS v1 has it, with a mask that ends the process in pycocotools."""
    for image in coco.content['images']:
        image['coco_url'] = f'http://images.cocodataset.org/{image.pop("file_name")}'
    for annotation in coco.annotations:
        del annotation['iscrowd']
    coco.write()
    cfg = coco.config()
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.type = 'LVISV1Dataset'
        loader.dataset.pop('metainfo')
    cfg.val_evaluator.type = 'LVISMetric'
    return cfg


@pytest.mark.parametrize('split', ['train', 'val'])
def test_masks_of_lvis(coco, refused, split):
    cfg = lvis(coco)
    check_data(cfg, splits=[split])
    coco.annotations[3]['segmentation'] = [[1, 2, FAR, 2, 30, 40]]
    coco.write()
    assert 'annotation 4 (2.jpg) has points far out' in refused(cfg, splits=[split])


def test_the_masks_a_metric_of_lvis_reads_on_its_own(coco, refused):
    cfg = lvis(coco)
    coco.annotations[3]['segmentation'] = HUGE
    other = coco.root / 'truth.json'
    other.write_text(json.dumps(coco.content))
    cfg.val_evaluator.ann_file = str(other)
    assert 'val_evaluator.ann_file: 1 of 8 masks in' in refused(cfg, splits=['val'])


@pytest.mark.parametrize('mask', [[[1, 2, FAR, 2, 30, 40]], [[1, 2, 30, 2, None, 40]], HUGE])
def test_masks_of_data_that_nothing_checks_before_a_run(coco, mask):
    """Data sets of others may read their files in any way; what they give to pycocotools is judged all the same."""
    coco.annotations[3]['segmentation'] = mask
    coco.write()
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(coco.dataset())
        guard_images(dataset)
        with pytest.raises(DataError, match=r'2\.jpg.* cannot be loaded: the mask of its object 1 has '):
            dataset[1]
        dataset[0]


def test_files_outside_of_the_data(coco, refused, monkeypatch, tmp_path):
    """A list from elsewhere must not make a run read any picture of the machine; who wants that says so."""
    elsewhere = tmp_path / 'elsewhere.jpg'
    elsewhere.write_bytes((coco.root / 'photos/1.jpg').read_bytes())
    for name in (str(elsewhere), os.path.relpath(elsewhere, coco.root / 'photos')):
        coco.content['images'][0]['file_name'] = name
        coco.write()
        assert 'allow this with --outside-files' in refused(coco.config(), splits=['train'])
        with monkeypatch.context() as patch:
            patch.setenv(OUTSIDE, '1')
            check_data(coco.config(), splits=['train'])
    (coco.root / 'more').mkdir()
    elsewhere.rename(coco.root / 'more/5.jpg')
    for name in ('../more/5.jpg', str(coco.root / 'more/5.jpg')):
        coco.content['images'][0]['file_name'] = name
        coco.write()
        check_data(coco.config(), splits=['train'])
