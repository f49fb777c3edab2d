"""Differences of two runs, and what is refused."""

import numpy as np
import pytest
import torch

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.export_model import ExportOptions, output_path
from mmvitdense.export.comparison import Detections, Labels, mean_iou, relative_error
from mmvitdense.export.description import Description
from mmvitdense.export.errors import ExportError
from mmvitdense.export.pasting import paste, pasted_masks
from mmvitdense.export.pooling import AnyAdaptivePooling
from mmvitdense.export.runtimes import open_file
from mmvitdense.export.serving import size_of
from mmvitdense.export.truth import average_precisions, compressed

BOXES = torch.tensor([[0.0, 0, 20, 20], [30, 30, 60, 50], [31, 30, 60, 50]])


def _run(boxes, scores, labels):
    return {'bboxes': boxes, 'scores': torch.tensor(scores), 'labels': torch.tensor(labels)}


def test_detections_are_matched_whatever_their_order():
    first = _run(BOXES, [0.9, 0.8, 0.7], [0, 1, 1])
    second = _run(BOXES[[2, 0, 1]] + 0.25, [0.7, 0.95, 0.8], [1, 0, 1])
    found = Detections()
    found.add(first, second)
    assert (found.found, found.unmatched, found.box) == (3, 0, 0.25)
    assert found.score == pytest.approx(0.05, abs=1e-6)


def test_a_detection_of_another_class_or_place_has_no_match():
    found = Detections()
    found.add(_run(BOXES[:2], [0.9, 0.6], [0, 1]), _run(BOXES[:2] + torch.tensor([[0.0], [40]]), [0.9, 0.5], [2, 1]))
    assert (found.unmatched, found.highest_unmatched) == (4, pytest.approx(0.9))
    found.add(_run(BOXES[:0], [], []), _run(BOXES[:1], [0.3], [0]))
    assert found.unmatched == 5


def test_masks_count_by_their_smallest_overlap():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, 2:] = True, True
    changed = masks.clone()
    changed[1, 2] = False
    found = Detections()
    found.add(
        {**_run(BOXES[:2], [0.9, 0.8], [0, 1]), 'masks': masks},
        {**_run(BOXES[:2], [0.9, 0.8], [0, 1]), 'masks': changed},
    )
    assert found.mask_iou == 0.5


def test_relative_errors():
    right = np.array([1.0, -4.0, 0.5])
    assert relative_error(right, right + [0, 0, 1]) == 0.25
    assert relative_error(right, right[:2]) == np.inf
    assert relative_error(right, np.array([1.0, np.nan, 0.5])) == np.inf
    assert relative_error(np.array([np.inf, 1]), np.array([np.inf, 1])) == 0
    assert relative_error(np.zeros(2), np.array([0, 1e-9])) == np.inf


def test_label_maps():
    first, second = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, 1]])
    labels = Labels()
    labels.add(first, second)
    assert labels.share == 0.25
    assert mean_iou([first], [second]) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_first_run_is_the_truth_for_the_second():
    first = compressed(_run(BOXES[:2], [0.9, 0.8], [0, 1]))
    lost = compressed(_run(BOXES[:1], [0.9], [0]))
    assert average_precisions([first], [first]) == {'bbox': (pytest.approx(1), pytest.approx(1))}
    assert average_precisions([first], [lost])['bbox'] == (pytest.approx(1), pytest.approx(0.5))
    unsure = compressed(_run(BOXES[:2], [0.02, 0.01], [0, 1]))
    assert average_precisions([unsure], [unsure])['bbox'] == (pytest.approx(1), pytest.approx(1))


def test_masks_are_pasted_as_mmdet_pastes_them():
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    masks = torch.rand(4, 7, 7)
    boxes = torch.tensor([[3.2, 4.1, 20.7, 15.5], [0, 0, 31, 24], [-5.0, 8, 10, 40], [7, 7, 7, 12]])
    expected = _do_paste_mask(masks[:, None], boxes, 24, 31, skip_empty=False)[0]
    assert torch.equal(paste(masks, boxes, 24, 31), expected)
    assert torch.equal(pasted_masks(masks[:3], boxes[:3], 24, 31, 0.5), expected[:3] >= 0.5)


@pytest.mark.parametrize('size', [(1, 1), (3, 6), (2, 5)])
def test_pooling_by_matrices(size):
    maps = torch.randn(2, 3, 11, 8, dtype=torch.double)
    torch.testing.assert_close(AnyAdaptivePooling(size)(maps), torch.nn.AdaptiveAvgPool2d(size)(maps))


def test_what_is_refused(tmp_path):
    with pytest.raises(ExportError, match='opset is 17'):
        ExportOptions(opset=17).check()
    with pytest.raises(InputError, match='contradict'):
        ExportOptions(batch=2, dynamic=('batch',)).check()
    with pytest.raises(InputError, match='ends with .xml'):
        output_path(tmp_path / 'model.onnx', 'config.py', ExportOptions('openvino'))
    with pytest.raises(ExportError, match='no file'):
        open_file(tmp_path / 'model.pt2')
    with pytest.raises(ExportError, match='ends with .onnx'):
        open_file(tmp_path / 'model.pth')
    with pytest.raises(ExportError, match='was not written by'):
        Description.from_json(None, 'other.onnx')
    description = Description('boxes', ('image',), ('boxes',), 64, 64)
    with pytest.raises(ExportError, match='80 x 60 pixels is larger'):
        size_of(description, [torch.zeros(3, 80, 60)])
    assert Description.from_json(description.to_json(), '') == description
