"""Tampered images: data sets, transforms, what pads and what moves with the image."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmvitdense.apis.image_loading import ImageLoading
from mmvitdense.datasets.checks import DataError
from mmvitdense.datasets.spliced_shapes import spliced, write_spliced_shapes
from mmvitdense.registry import DATASETS, TRANSFORMS


def transform(name, **options):
    return TRANSFORMS.build(dict(type=f'mmvitdense.{name}', **options))


@pytest.fixture
def root(tmp_path):
    write_spliced_shapes(tmp_path / 'data', 3, 1, 64)
    return tmp_path / 'data/training'


def build(**options):
    return DATASETS.build(dict(type='mmvitdense.ManipulationDataset', **options))


def test_folders_and_lists(root):
    """Pairs by the order of names, whatever the names; untouched images where they are asked for."""
    (root / 'Gt/000002.png').rename(root / 'Gt/zz_gt.png')
    (root / 'Au').mkdir()
    (root / 'Au/a.png').write_bytes((root / 'Tp/000000.png').read_bytes())
    data = build(data_root=str(root))
    assert [info['seg_map_path'].rpartition('/')[2] for info in map(data.get_data_info, range(3))] == [
        '000000.png',
        '000001.png',
        'zz_gt.png',
    ]
    untouched = build(data_root=str(root), authentic=True).get_data_info(3)
    listed = root / 'pairs.json'
    listed.write_text(json.dumps([['Tp/000001.png', 'Gt/000001.png'], ['Au/a.png', 'Negative']]))
    (first, second) = map(build(ann_file=str(listed)).get_data_info, range(2))
    assert first['img_path'] == str(root / 'Tp/000001.png')
    load = [TRANSFORMS.build(dict(type='LoadImageFromFile')), transform('LoadManipulationMask')]
    for info in (untouched, second):
        for step in load:
            info = step(info)
        assert info['gt_seg_map'].shape == (64, 64)
        assert not info['gt_seg_map'].any()
    for step in load:
        first = step(first)
    assert np.array_equal(first['gt_seg_map'], spliced('training', 1, 64, 0)[1] // 255)


def test_what_does_not_pair_up(root, tmp_path):
    (root / 'Gt/000000.png').unlink()
    with pytest.raises(DataError, match='3 images in Tp and 2 masks in Gt'):
        build(data_root=str(root))
    with pytest.raises(DataError, match='no folder'):
        build(data_root=str(tmp_path / 'nothing'))
    (tmp_path / 'pairs.json').write_text('{"a": 1}')
    with pytest.raises(DataError, match='must be a list of'):
        build(ann_file=str(tmp_path / 'pairs.json'))


def test_a_mask_of_another_size(root):
    cv2.imwrite(str(root / 'Gt/000000.png'), np.zeros((9, 9), np.uint8))
    info = TRANSFORMS.build(dict(type='LoadImageFromFile'))(build(data_root=str(root)).get_data_info(0))
    with pytest.raises(ValueError, match=r'is \(9, 9\) pixels, its image \(64, 64\)'):
        transform('LoadManipulationMask')(info)


def test_images_alone_are_read_without_masks(tmp_path):
    """As `mmvitdense predict` does, with the test pipeline of the published recipe."""
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs/iml_vit/iml-vit-tiny_shapes.py')
    loading = ImageLoading(cfg)
    packed = loading.prepare(loading.read(np.zeros((50, 61, 3), np.uint8)))
    assert packed['inputs'].shape == (3, 128, 128)
    assert packed['data_samples'].ori_shape == (50, 61)


def results(height=20, width=30):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[3:9, 4:20] = 1
    return {'img': image, 'gt_seg_map': labels, 'seg_fields': ['gt_seg_map'], 'img_shape': (height, width)}


@pytest.mark.parametrize('name', ['RandomCopyMove', 'RandomInpaint'])
def test_what_is_changed_is_marked(name):
    """Nothing else changes, and what was marked stays so."""
    before = results()
    np.random.seed(0)
    changes = 0
    for _ in range(20):
        after = transform(name, prob=1.0)(results())
        moved = (after['img'] != before['img']).any(-1)
        assert (after['gt_seg_map'][moved] == 1).all()
        assert (after['gt_seg_map'] >= before['gt_seg_map']).all()
        changes += moved.any()
    assert changes > 15
    untouched = transform(name, prob=0.0)(results())
    assert np.array_equal(untouched['img'], before['img'])


def test_padding_is_black_pixels_and_authentic():
    padded = transform('PadPixels', size=(24, 32))(results())
    assert padded['img'].shape == (24, 32, 3)
    assert not padded['img'][20:].any()
    assert not padded['gt_seg_map'][20:].any()
    assert (padded['img_shape'], padded['pad_shape'], padded['padding_size']) == ((20, 30), (24, 32), (0, 2, 0, 4))
    assert transform('PadPixels', size=(16, 32))(results())['img'].shape == (20, 32, 3)
    cut = transform('PadPixels', size=(16, 32), crop=True)(results())
    assert (cut['img'].shape, cut['img_shape']) == ((16, 32, 3), (16, 30))


def test_turns_and_sizes_take_the_labels_along():
    before = results()
    for seed in range(6):
        np.random.seed(seed)
        turned = transform('RandomQuarterTurn', prob=1.0)(results())
        turns = next(k for k in range(4) if np.array_equal(np.rot90(before['img'], k), turned['img']))
        assert np.array_equal(np.rot90(before['gt_seg_map'], turns), turned['gt_seg_map'])
        scaled = transform('RandomScale', limit=0.2)(results())
        assert scaled['img'].shape[:2] == scaled['gt_seg_map'].shape == tuple(scaled['img_shape'])
        assert 16 <= scaled['img'].shape[0] <= 24


def test_light_compression_and_blur():
    before = results()['img'].astype(float)
    np.random.seed(1)
    light = transform('RandomBrightnessContrast', brightness=0.1, contrast=0.1)(results())['img'].astype(float)
    inside = (light > 0) & (light < 255)
    slope, offset = np.polyfit(before[inside], light[inside], 1)
    assert 0.9 <= slope <= 1.1
    assert abs(offset) <= 26
    for name in ('RandomJpeg', 'RandomGaussianBlur'):
        changed = transform(name, prob=1.0)(results())
        assert changed['img'].shape == before.shape
        assert not np.array_equal(changed['img'], before)
        assert np.array_equal(changed['gt_seg_map'], results()['gt_seg_map'])


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('ManipulationEdge', {'width': 4}),
        ('RandomCopyMove', {'smallest': 0.9}),
        ('RandomInpaint', {'prob': 2}),
        ('RandomJpeg', {'prob': -1}),
    ],
)
def test_options_that_mean_nothing(name, options):
    with pytest.raises(ValueError, match=name):
        transform(name, **options)
