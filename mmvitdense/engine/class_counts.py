"""In how many images of a data set each class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from mmvitdense.registry import HOOKS


def classes_of_images(dataset: Any) -> list[set[int]]:
    """The classes of each image, from the annotations.

    Args:
        dataset: A data set of mmdet, or a wrapper that passes `get_cat_ids` on.
    """
    if not hasattr(dataset, 'get_cat_ids'):
        raise TypeError(
            f'{type(dataset).__name__} does not report the classes of an image: it needs a method get_cat_ids(index), '
            'as the data sets of mmdet have. A data set within a wrapper without it can be given itself.'
        )
    return [set(dataset.get_cat_ids(index)) for index in range(len(dataset))]


def count_images(classes: Sequence[set[int]], num_classes: int) -> list[int]:
    """Number of images of each class, given the classes of each image."""
    counts = [0] * num_classes
    for image in classes:
        for label in image:
            counts[label] += 1
    return counts


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Gives the losses that ask for it, such as `FederatedLoss`, the number of training images of each class."""

    def before_train(self, runner: Any) -> None:
        """Count, and call `set_class_counts` of every module of the model that has it."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = [module for module in model.modules() if hasattr(module, 'set_class_counts')]
        if not losses:
            raise TypeError(
                'ClassCountsHook finds no module with a method set_class_counts: remove it from the config.'
            )
        dataset = runner.train_dataloader.dataset
        counts = count_images(classes_of_images(dataset), len(dataset.metainfo['classes']))
        absent = counts.count(0)
        print_log(f'{len(counts)} classes, {absent} of them in no training image', logger='current')
        for loss in losses:
            loss.set_class_counts(counts)
