"""The federated loss against its formula, with classes that can be told by hand."""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmdet')

from mmvitdense.models.detection import FederatedLoss

CLASSES, BACKGROUND = 6, 6


def columns_that_count(loss, labels):
    """Classes whose logits get a gradient."""
    scores = torch.zeros(len(labels), CLASSES, requires_grad=True)
    loss(scores, torch.tensor(labels)).backward()
    return set(scores.grad.any(0).nonzero().flatten().tolist())


def test_value_when_all_classes_count():
    scores, labels = torch.randn(5, CLASSES), torch.tensor([0, 3, BACKGROUND, 3, BACKGROUND])
    targets = torch.zeros(5, CLASSES)
    for row, column in ((0, 0), (1, 3), (3, 3)):
        targets[row, column] = 1
    wanted = -(targets * F.logsigmoid(scores) + (1 - targets) * F.logsigmoid(-scores)).sum() / 5
    torch.testing.assert_close(FederatedLoss([1] * CLASSES)(scores, labels), wanted)
    torch.testing.assert_close(FederatedLoss([1] * CLASSES, loss_weight=2.0)(scores, labels, avg_factor=10.0), wanted)
    weight = torch.tensor([0.0, 1, 1, 1, 1])
    assert FederatedLoss([1] * CLASSES)(scores, labels, weight, reduction_override='none')[0].eq(0).all()


def test_background_is_one_of_the_classes_that_count():
    """Of four, three are present and one is drawn: background takes a place without being a column."""
    for _ in range(10):
        counting = columns_that_count(FederatedLoss([5] * CLASSES, num_sampled=4), [1, 4, BACKGROUND])
        assert counting >= {1, 4}
        assert len(counting) == 3
        counting = columns_that_count(FederatedLoss([5] * CLASSES, num_sampled=4), [1, 4, 4])
        assert len(counting) == 4


def test_all_present_classes_count_however_many():
    assert columns_that_count(FederatedLoss([1] * CLASSES, num_sampled=2), [0, 1, 2, BACKGROUND]) == {0, 1, 2}


def test_classes_without_images_are_not_drawn():
    loss = FederatedLoss([0, 3, 0, 3, 0, 0], num_sampled=5)
    assert columns_that_count(loss, [BACKGROUND]) == {1, 3}
    assert columns_that_count(loss, [2]) == {1, 2, 3}


def test_probabilities_go_with_the_root_of_the_counts():
    """One of two classes is drawn beside background; with 1 and 9 images, three times in four it is the second."""
    loss = FederatedLoss([1, 9, 0, 0, 0, 0], num_sampled=2)
    drawn = [columns_that_count(loss, [BACKGROUND]) for _ in range(1000)]
    assert all(len(counting) == 1 for counting in drawn)
    assert abs(drawn.count({1}) / 1000 - 0.75) < 0.05


def test_what_mmdet_asks_for():
    loss = FederatedLoss()
    assert loss.get_cls_channels(1203) == 1203
    scores = torch.randn(3, CLASSES)
    activated = loss.get_activation(scores)
    torch.testing.assert_close(activated[:, :-1], 1 / (1 + (-scores).exp()))
    assert activated[:, -1].eq(0).all()
    scores = torch.tensor([[3.0, 0, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0]])
    assert loss.get_accuracy(scores, torch.tensor([0, 2, BACKGROUND]))['acc'].item() == 50
    assert not loss.state_dict()


def test_errors():
    with pytest.raises(RuntimeError, match='ClassCountsHook'):
        FederatedLoss()(torch.zeros(1, CLASSES), torch.tensor([0]))
    with pytest.raises(ValueError, match='5 classes for logits of 6'):
        FederatedLoss([1] * 5)(torch.zeros(1, CLASSES), torch.tensor([0]))
