"""Repeat-factor sampling and counts of classes, against cases worked out by hand."""

from itertools import islice, pairwise
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DATA_SAMPLERS, HOOKS
from torch import nn

from mmvitdense.engine.class_counts import ClassCountsHook, classes_of_images, count_images
from mmvitdense.engine.repeat_factor_sampler import RepeatFactorSampler, repeat_factors


class Annotated:
    """A data set with the classes of its images, as mmdet's tell them: one label for each object."""

    metainfo = {'classes': ('common', 'rare', 'middle', 'absent')}

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, index):
        return self.labels[index]


# Of 100 images 96 show class 0 (one of them thrice), 1 shows class 1, 4 show class 2, and one shows none.
LABELS = [[0]] * 94 + [[0, 2, 0, 0], [0, 1], [2], [2], [2], []]


def test_factors():
    """Class 1: f = 0.01, sqrt(0.09 / 0.01) = 3; class 2: f = 0.04, sqrt(0.09 / 0.04) = 1.5; class 0 is frequent."""
    factors = repeat_factors([set(labels) for labels in LABELS], threshold=0.09)
    assert factors[:94].tolist() == [1.0] * 94
    torch.testing.assert_close(factors[94:], torch.tensor([1.5, 3.0, 1.5, 1.5, 1.5, 1.0]))


def test_no_class_below_the_threshold():
    assert repeat_factors([{0}, {1}, set()], threshold=0.3).tolist() == [1.0, 1.0, 1.0]


def test_mean_over_epochs_is_the_factor():
    sampler = RepeatFactorSampler(Annotated(LABELS), threshold=0.09, seed=3)
    epochs, expected = 400, 94 + 4 * 1.5 + 3 + 1
    counts = torch.bincount(torch.tensor(list(islice(sampler, int(epochs * expected)))), minlength=100) / epochs
    assert (counts[:94] - 1).abs().max() < 0.02
    assert abs(counts[95] - 3) < 0.05
    # Each epoch adds one half on average: the standard deviation of the mean is 0.025.
    assert (counts[[94, 96, 97, 98]] - 1.5).abs().max() < 0.1


def test_rounding_differs_between_epochs_and_whole_factors_do_not():
    sampler = RepeatFactorSampler(Annotated(LABELS), threshold=0.09, shuffle=False, seed=0)
    stream = list(islice(sampler, 2000))
    starts = [i for i, index in enumerate(stream) if index == 0]
    epochs = [stream[a:b] for a, b in pairwise(starts)]
    assert {epoch.count(95) for epoch in epochs} == {3}
    assert {epoch.count(96) for epoch in epochs} == {1, 2}
    assert all(epoch == sorted(epoch) for epoch in epochs)


def test_processes_take_turns_in_one_list(monkeypatch):
    whole = list(islice(RepeatFactorSampler(Annotated(LABELS), threshold=0.09, seed=5), 300))
    assert whole[:100] != sorted(whole[:100])
    for rank in range(3):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 3))
        part = RepeatFactorSampler(Annotated(LABELS), threshold=0.09, seed=5)
        assert list(islice(part, 100)) == whole[rank::3]


def test_counts_of_images():
    classes = classes_of_images(Annotated(LABELS))
    assert count_images(classes, 4) == [96, 1, 4, 0]


def test_the_hook_tells_every_loss():
    class Loss(nn.Module):
        def set_class_counts(self, counts):
            self.counts = counts

    model = nn.ModuleList([Loss(), nn.Linear(1, 1), Loss()])
    runner = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=Annotated(LABELS)))
    HOOKS.build({'type': 'mmvitdense.ClassCountsHook'}).before_train(runner)
    assert model[0].counts == model[2].counts == [96, 1, 4, 0]


def test_errors():
    with pytest.raises(TypeError, match='get_cat_ids'):
        DATA_SAMPLERS.build({'type': 'mmvitdense.RepeatFactorSampler', 'dataset': [1, 2], 'threshold': 0.1, 'seed': 0})
    with pytest.raises(TypeError, match='set_class_counts'):
        ClassCountsHook().before_train(SimpleNamespace(model=nn.Linear(1, 1)))
