import math
import shutil

import mmcv.ops
import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, bbox_overlaps, nms, nms_match, soft_nms
from mmcv_oracles import iou

from mmvitdense import ops


def random_boxes(count, device='cpu'):
    corner = torch.rand(count, 2) * 60
    return torch.cat((corner, corner + 5 + torch.rand(count, 2) * 30), dim=1).to(device), torch.rand(count).to(device)


def greedy(boxes, scores, threshold, offset):
    kept = []
    for i in np.argsort(-scores):
        if all(iou(boxes[i], boxes[k], offset) <= threshold for k in kept):
            kept.append(int(i))
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5])
def test_nms(device, offset, threshold):
    boxes, scores = random_boxes(80, device)
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    expected = greedy(boxes.cpu().numpy(), scores.cpu().numpy(), threshold, offset)
    assert kept.tolist() == expected
    assert 1 < len(expected) < 80
    assert torch.equal(dets, torch.cat((boxes[kept], scores[kept, None]), dim=1))


def test_nms_offset_decides(device):
    boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0], [0.0, 0.0, 3.0, 1.0]], device=device)
    scores = torch.tensor([0.9, 0.8], device=device)
    assert nms(boxes, scores, 0.4, offset=0)[1].tolist() == [0, 1]  # 3 / 9
    assert nms(boxes, scores, 0.4, offset=1)[1].tolist() == [0]  # 8 / 16


def test_nms_thresholds_are_float32(device):
    """An IoU of 3 / 10 is not above 0.3, though it is in float64 once rounded to float32; nms_match takes it."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 3.0]], device=device)
    scores = torch.tensor([0.9, 0.8], device=device)
    assert nms(boxes, scores, 0.3)[1].tolist() == [0, 1]
    assert [group.tolist() for group in nms_match(torch.cat((boxes, scores[:, None]), dim=1), 0.3)] == [[0, 1]]


def test_of_equal_scores_the_first_box_wins(device):
    """So many that torch.sort, on which a compiled mmcv relies, mixes them up on common processors."""
    boxes, _ = random_boxes(300, device)
    scores = (torch.arange(300, device=device) % 3).float() / 4 + 0.25
    order = sorted(range(300), key=lambda i: -scores[i].item())
    expected = []
    for i in order:
        if all(iou(boxes[i].tolist(), boxes[k].tolist()) <= 0.3 for k in expected):
            expected.append(i)
    assert nms(boxes, scores, 0.3)[1].tolist() == expected
    groups = nms_match(torch.cat((boxes, scores[:, None]), dim=1), 0.3)
    assert [group[0].item() for group in groups] == expected


def test_nms_score_threshold_and_maximum(device):
    boxes, scores = random_boxes(80, device)
    kept = nms(boxes, scores, 0.5, score_threshold=0.6, max_num=5)[1]
    high = (scores > 0.6).nonzero()[:, 0].tolist()
    expected = greedy(boxes[high].cpu().numpy(), scores[high].cpu().numpy(), 0.5, 0)[:5]
    assert kept.tolist() == [high[i] for i in expected]


def test_nms_numpy_input():
    boxes, scores = (array.numpy() for array in random_boxes(30))
    dets, kept = nms(boxes, scores, 0.3)
    assert isinstance(dets, np.ndarray)
    assert kept.tolist() == greedy(boxes, scores, 0.3, 0)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_nms_16_bit(device, dtype):
    boxes, scores = (tensor.to(dtype) for tensor in random_boxes(40, device))
    dets, kept = nms(boxes, scores, 0.5)
    assert dets.dtype == dtype
    assert sorted(kept.tolist()) == sorted(nms(boxes.float(), scores.float(), 0.5)[1].tolist())


def soft_weight(overlap, method, threshold, sigma):
    if method == 'gaussian':
        return math.exp(-(overlap**2) / sigma)
    if overlap < threshold:
        return 1.0
    return 0.0 if method == 'naive' else 1 - overlap


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms(device, method, offset):
    boxes, scores = random_boxes(40, device)
    dets, kept = soft_nms(boxes, scores, 0.3, sigma=0.4, min_score=0.1, method=method, offset=offset)

    left = dict(enumerate(scores.double().tolist()))
    expected, expected_scores = [], []
    while left:
        best = max(left, key=left.get)
        expected.append(best)
        expected_scores.append(left.pop(best))
        left = {
            i: score * soft_weight(iou(boxes[best].tolist(), boxes[i].tolist(), offset), method, 0.3, 0.4)
            for i, score in left.items()
        }
        left = {i: score for i, score in left.items() if score >= 0.1}
    assert kept.tolist() == expected
    assert dets.device == boxes.device
    assert 1 < len(expected) < 40
    np.testing.assert_allclose(dets[:, 4].cpu(), expected_scores, rtol=1e-5)
    assert torch.equal(dets[:, :4], boxes[kept])


def soft_nms_in_place(boxes, scores, threshold, sigma, minimum, method, offset):
    """As mmcv: one list, in which the best is exchanged with the first that is left, and the last fills a gap."""
    rows = [[score, i, box] for i, (score, box) in enumerate(zip(scores, boxes))]
    picked = 0
    while picked < len(rows):
        best = max(range(picked, len(rows)), key=lambda k: rows[k][0])
        rows[picked], rows[best] = rows[best], rows[picked]
        at = picked + 1
        while at < len(rows):
            rows[at][0] *= soft_weight(iou(rows[picked][2], rows[at][2], offset), method, threshold, sigma)
            if rows[at][0] < minimum:
                last = rows.pop()
                if at < len(rows):
                    rows[at] = last
            else:
                at += 1
        picked += 1
    return [row[1] for row in rows], [row[0] for row in rows]


@pytest.mark.parametrize('backend', ['compiled', 'reference'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_of_equal_scores(monkeypatch, method, dtype, backend):
    """Box by box as mmcv picks them, in the kernel and without a compiler."""
    monkeypatch.setattr('mmvitdense.ops.backends._choice', backend)
    if backend == 'compiled' and shutil.which('c++') is None:
        pytest.skip('needs a C++ compiler')
    number = ('naive', 'linear', 'gaussian').index(method)
    for count, offset, minimum in ((0, 0, 0.1), (1, 0, 0.1), (60, 0, 0.0), (60, 1, 0.2)):
        boxes, scores = (tensor.to(dtype) for tensor in random_boxes(count))
        boxes, scores = (boxes / 4).round() * 4, (scores * 4).round() / 4
        kept, lowered = ops.soft_nms(boxes, scores, 0.3, 0.5, minimum, number, offset)
        expected, expected_scores = soft_nms_in_place(
            boxes.tolist(), scores.tolist(), 0.3, 0.5, minimum, method, offset
        )
        assert kept.tolist() == expected
        assert lowered.dtype == dtype
        np.testing.assert_allclose(lowered, expected_scores, rtol=1e-5)


def test_soft_nms_says_what_it_wants():
    boxes, scores = random_boxes(3)
    for arguments, message in (
        ((boxes[:2], scores), r'\(2, 4\) and scores \(3,\); expected'),
        ((boxes, scores.double()), 'float32 and scores torch.float64; expected'),
        ((boxes, scores, 0.3, 0.5, 0.1, 3), r'method is 3; expected 0 \(naive\)'),
    ):
        with pytest.raises(ValueError, match=message):
            ops.soft_nms(*arguments)


def test_soft_nms_empty_area_keeps_finite_scores(device):
    point = torch.tensor([[3.0, 1.0, 3.0, 1.0]], device=device).repeat(3, 1)
    dets, _ = soft_nms(point, torch.tensor([0.9, 0.5, 0.4], device=device), 0.5, method='gaussian')
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.4])


def test_nms_match(device):
    boxes, scores = random_boxes(60, device)
    groups = nms_match(torch.cat((boxes, scores[:, None]), dim=1), 0.3)
    assert sorted(i for group in groups for i in group.tolist()) == list(range(60))
    kept = [group[0].item() for group in groups]
    assert kept == greedy(boxes.cpu().numpy(), scores.cpu().numpy(), 0.3, 0)
    for order, group in enumerate(groups):
        assert scores[group].tolist() == sorted(scores[group].tolist(), reverse=True)
        for member in group[1:].tolist():
            overlaps = [iou(boxes[k].tolist(), boxes[member].tolist()) for k in kept[: order + 1]]
            assert overlaps[-1] >= 0.3
            assert all(overlap < 0.3 or scores[k] < scores[member] for k, overlap in zip(kept[:order], overlaps[:-1]))


def test_line_nms(device):
    """Lines of five rows, from the definition: near are those whose mean distance over shared rows is below 2."""
    line_nms = getattr(mmcv.ops, 'line_nms', None)
    if line_nms is None:
        pytest.skip('the original mmcv has none')
    x = torch.tensor([10.0, 11.0, 12.0, 13.0, 14.0], device=device)
    rows = [
        # start, length in rows, x, score
        (0.0, 5, x + 1, 0.6),  # 1 from the best: dropped
        (0.0, 5, x, 0.9),  # the best
        (0.0, 5, x + 2, 0.8),  # exactly 2 from it: kept, and nearer to the first than the best is
        (0.75, 2, x + torch.tensor([9.0, 9.0, 9.0, 0.0, 0.0], device=device), 0.7),  # equal where it is: dropped
        (0.0, 3, x.flip(0) + 3, 0.5),  # 5 and 3 from those that are kept
        (1.0, 0, x, 0.4),  # of no length: near nothing
    ]
    lines = torch.stack([torch.cat([x.new_tensor([0, 0, start, 0, size]), at]) for start, size, at, _ in rows])
    scores = x.new_tensor([row[3] for row in rows])
    keep, count, owner = line_nms(lines, scores, 2.0, 10)
    assert count.item() == 4
    assert keep.tolist() == [1, 2, 4, 5, 0, 0]
    assert owner.tolist() == [2, 1, 2, 1, 3, 4]
    keep, count, _ = line_nms(lines, scores, 2.0, 2)
    assert (keep.tolist(), count.item()) == ([1, 2, 0, 0, 0, 0], 2)


@pytest.mark.parametrize('split_thr', [10000, 10])
@pytest.mark.parametrize('nms_type', ['nms', 'soft_nms'])
def test_batched_nms_keeps_classes_apart(device, nms_type, split_thr):
    boxes, scores = random_boxes(60, device)
    labels = torch.arange(60, device=device) % 3
    dets, kept = batched_nms(boxes, scores, labels, {'type': nms_type, 'iou_threshold': 0.3, 'split_thr': split_thr})
    single = {'nms': nms, 'soft_nms': soft_nms}[nms_type]
    expected = {}
    for label in range(3):
        members = (labels == label).nonzero()[:, 0]
        class_dets, class_kept = single(boxes[members], scores[members], 0.3)
        expected.update(zip(members[class_kept].tolist(), class_dets[:, 4].tolist()))
    assert dict(zip(kept.tolist(), dets[:, 4].tolist())) == pytest.approx(expected, rel=1e-3)
    assert dets[:, 4].tolist() == sorted(dets[:, 4].tolist(), reverse=True)


def test_batched_nms_class_agnostic(device):
    boxes, scores = random_boxes(40, device)
    labels = torch.arange(40, device=device)
    kept = batched_nms(boxes, scores, labels, {'type': 'nms', 'iou_threshold': 0.3}, class_agnostic=True)[1]
    assert kept.tolist() == greedy(boxes.cpu().numpy(), scores.cpu().numpy(), 0.3, 0)


def test_no_boxes(device):
    boxes, scores = torch.zeros(0, 4, device=device), torch.zeros(0, device=device)
    for function in (nms, soft_nms):
        dets, kept = function(boxes, scores, 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64
    assert nms_match(torch.zeros(0, 5, device=device), 0.5) == []
    assert bbox_overlaps(boxes, boxes).shape == (0, 0)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('mode', ['iou', 'iof'])
@pytest.mark.parametrize('aligned', [False, True])
def test_bbox_overlaps_counts_pixels(device, mode, aligned, offset):
    low = torch.randint(0, 20, (2, 12, 2))
    boxes = torch.cat((low, low + torch.randint(1, 12, (2, 12, 2))), dim=2)
    areas = np.zeros((2, 12, 40, 40), dtype=bool)
    for k, i in np.ndindex(2, 12):
        x1, y1, x2, y2 = boxes[k, i].tolist()
        areas[k, i, y1 : y2 + offset, x1 : x2 + offset] = True
    both = (areas[0][:, None] & areas[1][None]).sum((2, 3))
    base = (areas[0][:, None] | areas[1][None]).sum((2, 3)) if mode == 'iou' else areas[0].sum((1, 2))[:, None]
    expected = both / base
    result = bbox_overlaps(*boxes.float().to(device), mode=mode, aligned=aligned, offset=offset)
    np.testing.assert_allclose(result.cpu(), np.diag(expected) if aligned else expected, rtol=1e-6)
