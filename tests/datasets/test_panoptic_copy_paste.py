"""Pasting of panoptic segments, through mmdet's data set that mixes images."""

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet')

from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmvitdense.datasets.transforms import PanopticCopyPaste

THINGS = 2


def results(size, value, things, stuff):
    """An image of one grey, things as {label: slices}, stuff as {label: slices}, all else without class."""
    masks, seg_map = np.zeros((len(things), *size), np.uint8), np.full(size, 255)
    for label, place in stuff.items():
        seg_map[place] = label
    for mask, (label, place) in zip(masks, things.items()):
        mask[place], seg_map[place] = 1, label
    masks = BitmapMasks(masks, *size)
    return {
        'img': np.full((*size, 3), value, np.uint8),
        'img_shape': size,
        'gt_masks': masks,
        'gt_bboxes': masks.get_bboxes('hbox'),
        'gt_bboxes_labels': np.array(list(things)),
        'gt_ignore_flags': np.zeros(len(things), bool),
        'gt_seg_map': seg_map,
    }


def pasted(seed=0):
    """A thing over half of one of two things and the whole other one, and stuff of two classes."""
    main = results((8, 10), 10, {0: np.s_[:2, :2], 1: np.s_[4:8, 4:8]}, {2: np.s_[:, 9:], 3: np.s_[2:4]})
    other = results((9, 6), 20, {1: np.s_[4:6, 3:6]}, {2: np.s_[8:], 4: np.s_[:3, :3]})
    other['gt_seg_map'][7, 5] = 0  # a crowd has a label and no mask
    np.random.seed(seed)
    return PanopticCopyPaste([], THINGS)({**main, 'mix_results': [other]})


def test_things_are_always_pasted():
    """Masks are cut, those of which nothing is left go, boxes are those of what is left."""
    kinds = set()
    for seed in range(30):
        found = pasted(seed)
        over = found['gt_seg_map'][0, 0] == 4
        kinds.add((bool(over), bool((found['gt_seg_map'][8, :6] == 2).all())))
        assert (found['img'][4:6, 3:6] == 20).all()
        assert (found['img'][:2, :2] == (20 if over else 10)).all()
        assert found['gt_bboxes_labels'].tolist() == ([1, 1] if over else [0, 1, 1])
        kept = found['gt_masks'].masks[-2]
        assert kept.sum() == 12
        assert not kept[4:6, 4:6].any()
        assert found['gt_masks'].masks[-1].sum() == 6
        assert isinstance(found['gt_bboxes'], HorizontalBoxes)
        torch.testing.assert_close(found['gt_bboxes'].tensor[-1], torch.tensor([3.0, 4, 6, 6]))
        assert found['gt_ignore_flags'].tolist() == [False] * len(found['gt_masks'])
        assert found['gt_seg_map'][7, 5] != 0
    assert len(kinds) == 4, 'either stuff, both and none'


def test_what_neither_image_has():
    """It is the mean, so that it is zero after normalisation, and without class."""
    found = pasted()
    assert found['img'].shape == (9, 10, 3)
    assert found['img_shape'] == (9, 10)
    assert (found['img'][8, 6:] == 127.5).all()
    assert (found['gt_seg_map'][8, 6:] == 255).all()
    assert found['gt_masks'].masks.shape[1:] == (9, 10)


def test_an_image_that_is_refused_pastes_nothing():
    main, other = (results((4, 4), value, {0: np.s_[:2]}, {}) for value in (10, 20))
    transform = PanopticCopyPaste([], THINGS)
    transform.transforms = lambda given: None
    assert (transform({**main, 'mix_results': [other]})['img'] == 10).all()
    with pytest.raises(ValueError, match='num_things_classes must be a whole number of at least 0, got -1'):
        PanopticCopyPaste([], -1)
