"""Scoring the images that a data set shows, and no others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mmengine.hooks import Hook

from .checks.messages import DataError, listed, note


class ScoreShownImagesHook(Hook):
    """Reports to mmdet's COCO and LVIS metrics which images the data set shows.

    They score every image of their annotation file otherwise, and an image that was never shown counts as one in which
    nothing was found: with `dataset.indices=4` almost everything is missed. Where all images of the file are shown,
    nothing changes.
    """

    def __init__(self) -> None:
        self._shown: dict[int, list] = {}

    def before_train(self, runner: Any) -> None:
        """Find out before hours of training whether the validation can be scored."""
        if runner.val_loop is not None:
            self._choose(runner.val_loop)

    def before_val(self, runner: Any) -> None:
        """Choose the images of a validation."""
        self._choose(runner.val_loop)

    def before_test(self, runner: Any) -> None:
        """Choose the images of a test."""
        self._choose(runner.test_loop)

    def _choose(self, loop: Any) -> None:
        """Set the images of each metric of a loop.

        Raises:
            DataError: If an image is shown twice, or is not in the annotation file of a metric.
        """
        for dataset, metric in _pairs(loop.dataloader.dataset, loop.evaluator):
            known = _known_images(metric)
            # Images behind a wrapper that does not report them are left to the metric.
            if known is None or not hasattr(dataset, 'get_data_info'):
                continue
            if id(dataset) not in self._shown:
                self._shown[id(dataset)] = [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]
            shown = self._shown[id(dataset)]
            _check(shown, known, type(metric).__name__)
            metric.img_ids = shown


def _pairs(dataset: Any, evaluator: Any) -> list[tuple[Any, Any]]:
    """Return each metric with the data set that it scores."""
    from mmdet.evaluation import MultiDatasetsEvaluator

    if isinstance(evaluator, MultiDatasetsEvaluator):
        return list(zip(dataset.datasets, evaluator.metrics, strict=False))
    return [(dataset, metric) for metric in evaluator.metrics]


def _known_images(metric: Any) -> list | None:
    """Return the ids in the file of a metric that chooses images by `img_ids`; None for other metrics."""
    from mmdet.evaluation import CocoMetric

    if not isinstance(metric, CocoMetric) or metric.format_only:
        return None
    truth = getattr(metric, '_lvis_api', None) or getattr(metric, '_coco_api', None)
    if truth is None:
        return None
    # The package lvis has the one name, faster-coco-eval the other.
    return truth.getImgIds() if hasattr(truth, 'getImgIds') else truth.get_img_ids()


def _check(shown: list, known: list, name: str) -> None:
    if repeated := [value for value, count in Counter(shown).items() if count > 1]:
        raise DataError(
            f'{name} scores each image once, and the data set shows {len(repeated)} of them several times, id '
            f'{listed(repeated, 3)}: leave out RepeatDataset and the like, and give the images of joined data sets ids '
            'of their own.'
        )
    if unknown := sorted(set(shown) - set(known), key=str):
        raise DataError(
            f'{name} compares with a file that lacks {len(unknown)} of the {len(shown)} images that are shown, id '
            f'{listed(unknown, 3)}: give it the annotation file of the data set.'
        )
    if len(shown) < len(known):
        note(f'{name} scores the {len(shown)} images that are shown, of {len(known)} in its file.')
