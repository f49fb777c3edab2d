"""Transforms: colours as torchvision changes them, draws until something is left, label maps of bytes."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS, DefaultScope
from torchvision.transforms.v2 import functional as F

from mmvitdense.datasets.transforms import ByteSegMap, ColorJitter, Redraw

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


class TestColorJitter:
    def expected(self, seed):
        """torchvision on RGB with the amounts of this seed."""
        np.random.seed(seed)
        order = np.random.rand() < 0.5
        pixels = torch.from_numpy(IMAGE[..., ::-1].copy()).permute(2, 0, 1)
        colour, contrast = [('adjust_saturation', 0.5, 1), ('adjust_hue', 18 / 360, 0)], [('adjust_contrast', 0.5, 1)]
        steps = colour + contrast if order else contrast + colour
        for name, most, centre in [('adjust_brightness', 32 / 255, 1), *steps]:
            if np.random.rand() < 0.5:
                pixels = getattr(F, name)(pixels, np.random.uniform(centre - most, centre + most))
        return pixels.permute(1, 2, 0).numpy()[..., ::-1]

    def test_against_torchvision(self):
        results = []
        for seed in range(20):
            expected = self.expected(seed)
            np.random.seed(seed)
            results.append(ColorJitter()({'img': IMAGE.copy()})['img'])
            assert np.array_equal(results[-1], expected)
        assert len({result.tobytes() for result in results}) > 15
        always = {ColorJitter(probability=1.0)({'img': IMAGE.copy()})['img'].tobytes() for _ in range(9)}
        assert len(always | {IMAGE.tobytes()}) == 10
        assert np.array_equal(ColorJitter(probability=0.0)({'img': IMAGE.copy()})['img'], IMAGE)
        np.random.seed(3)
        rgb = ColorJitter(bgr=False)({'img': IMAGE[..., ::-1].copy()})['img']
        assert np.array_equal(rgb[..., ::-1], results[3])

    def test_bad_amounts(self):
        with pytest.raises(ValueError, match=r'hue of at most 0.5, got 0.1, 0.5, 0.5 and 18'):
            ColorJitter(brightness=0.1, hue=18)


class TestRedraw:
    @pytest.fixture
    def crops(self):
        """Where the crops of mmdet and mmseg begin, which are one of four columns of an image that is all but empty."""
        pytest.importorskip('mmdet')
        pytest.importorskip('mmseg')
        seg_map = np.full((8, 32), 255, np.uint8)
        seg_map[2, 30] = 3
        return {
            'img': np.zeros((8, 32, 3), np.uint8),
            'gt_seg_map': seg_map,
            'img_shape': (8, 32),
            'seg_fields': ['gt_seg_map'],
        }

    @pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
    def test_until_a_label_is_left(self, crops, scope):
        before = copy.deepcopy(crops)
        crop = {'type': 'RandomCrop', 'crop_size': (8, 8)}
        with DefaultScope.overwrite_default_scope(scope):
            redraw = TRANSFORMS.build({'type': 'mmvitdense.Redraw', 'transforms': [crop], 'max_draws': 200})
            once = TRANSFORMS.build({'type': 'mmvitdense.Redraw', 'transforms': [crop], 'max_draws': 1})
        seen = [(redraw(crops)['gt_seg_map'] != 255).any() for _ in range(5)]
        assert all(seen)
        assert not all((once(crops)['gt_seg_map'] != 255).any() for _ in range(20))
        assert all(np.array_equal(crops[name], before[name]) for name in ('img', 'gt_seg_map'))

    def test_until_an_object_is_left(self):
        """Masks without a pixel and those of crowds do not count."""
        masks = pytest.importorskip('mmdet.structures.mask')
        redraw = Redraw([])
        full, empty = np.ones((1, 4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8)

        def has(mask, ignored):
            return redraw._has_annotation(
                {'gt_masks': masks.BitmapMasks(mask, 4, 4), 'gt_ignore_flags': np.array([ignored])}
            )

        assert [has(full, False), has(full, True), has(empty, False)] == [True, False, False]
        assert redraw._has_annotation({'gt_ignore_flags': np.array([True, False])})
        assert not redraw._has_annotation({'gt_ignore_flags': np.array([True])})

    def test_without_annotation(self):
        """The last draw, not an endless loop; a transform that gives nothing up is asked again."""
        assert Redraw([], max_draws=3)({'img': 1})['img'] == 1
        answers = iter([None, {'gt_seg_map': np.zeros(1)}])
        assert Redraw([lambda results: next(answers)])({'img': 1}) is not None
        with pytest.raises(ValueError, match='max_draws must be at least 1, got 0'):
            Redraw([], max_draws=0)


def test_label_maps_of_bytes():
    results = ByteSegMap()({'gt_seg_map': np.array([[0, 132], [255, 7]])})
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['gt_seg_map'].tolist() == [[0, 132], [255, 7]]
    with pytest.raises(ValueError, match='takes labels from 0 to 255, and a label map has 0 to 300'):
        ByteSegMap()({'gt_seg_map': np.array([0, 300])})
