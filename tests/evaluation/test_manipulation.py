"""F1 and area under the curve of single images, against their definitions."""

import numpy as np
import pytest
import torch

from mmvitdense.evaluation import ManipulationMetric
from mmvitdense.evaluation.manipulation import area_under_curve
from mmvitdense.registry import METRICS


def sample(scores, truth):
    scores, truth = torch.tensor(scores), torch.tensor(truth)
    return {
        'seg_logits': {'data': scores[None]},
        'pred_sem_seg': {'data': (scores > 0.7)[None].int()},
        'gt_sem_seg': {'data': truth[None]},
    }


def test_f1_is_the_mean_over_images():
    """One with half of its two pixels found and nothing else, one with all found and as many others: 2/3 each."""
    first = sample([[0.9, 0.2, 0.1, 0.1]], [[1, 1, 0, 0]])
    second = sample([[0.9, 0.8, 0.1, 0.1]], [[1, 0, 0, 0]])
    metric = METRICS.build(dict(type='mmvitdense.ManipulationMetric', auc=False))
    metric.process(None, [first, second])
    assert metric.evaluate(2) == {'manipulation/F1': pytest.approx(100 * 2 / 3)}
    without = {key: value for key, value in first.items() if key != 'seg_logits'}
    by_labels = ManipulationMetric(threshold=None, auc=False)
    by_labels.process(None, [without])
    assert by_labels.evaluate(1) == {'manipulation/F1': pytest.approx(100 * 2 / 3)}
    with pytest.raises(ValueError, match='keep_logits=True'):
        ManipulationMetric().process(None, [without])


def test_area_is_how_often_a_pixel_scores_above_another():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, (6, 7)) / 5, rng.random((6, 7)) > 0.6
    wins = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    assert area_under_curve(scores, truth) == pytest.approx(np.mean(wins))
    assert area_under_curve(scores, np.zeros_like(truth)) is None


def test_untouched_images_have_no_area():
    metric = ManipulationMetric()
    metric.process(None, [sample([[0.9, 0.1]], [[1, 0]]), sample([[0.1, 0.1]], [[0, 0]])])
    assert metric.evaluate(2) == {'manipulation/F1': pytest.approx(50.0), 'manipulation/AUC': pytest.approx(100.0)}
