"""Run lengths are those of pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco

from mmvitdense import mask_codes


def masks():
    random = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 5), (40, 61)):
        yield np.zeros((height, width), bool)
        yield np.ones((height, width), bool)
        for share in (0.1, 0.5, 0.9):
            yield random.random((height, width)) < share


@pytest.mark.parametrize('mask', masks(), ids=lambda mask: f'{mask.shape}-{mask.mean():.1f}')
def test_a_mask_has_the_code_of_pycocotools(mask):
    code = mask_codes.encode(mask)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert code == {'size': list(mask.shape), 'counts': expected['counts'].decode()}
    np.testing.assert_array_equal(mask_codes.decode(code), mask)
    assert mask_codes.area(code) == mask.sum()
    part, left, top = mask_codes.region(code)
    assert part.sum() == mask.sum()
    np.testing.assert_array_equal(mask[top : top + part.shape[0], left : left + part.shape[1]], part)


@pytest.mark.parametrize(('left', 'top'), [(0, 0), (3, 2), (8, 5), (0, 5), (8, 0)])
def test_a_part_of_an_image_lies_where_it_is_said_to(left, top):
    part = np.random.default_rng(1).random((5, 4)) < 0.6
    whole = np.zeros((10, 12), bool)
    whole[top : top + 5, left : left + 4] = part
    assert mask_codes.encode(part, (10, 12), left, top) == mask_codes.encode(whole)


def test_outlines_leave_out_holes_and_dots():
    mask = np.zeros((20, 30), bool)
    mask[2:12, 3:20] = True
    mask[5:8, 6:9] = False
    mask[18, 28] = True
    assert mask_codes.polygons(mask_codes.encode(mask)) == [[3, 2, 3, 11, 19, 11, 19, 2]]
    assert mask_codes.polygons(mask_codes.encode(np.zeros((4, 4), bool))) == []
