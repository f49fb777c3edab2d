"""Segments of one image pasted onto another, things and stuff."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import Compose

from mmvitdense.option_types import CountOrZero, options_checked
from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PanopticCopyPaste:
    """Paste all things of another image and some of its stuff (kMaX-DeepLab,
    `panoptic_kmaxdeeplab_dataset_mapper.py`).

    A transform of mmdet's `MultiImageMixDataset`, whose data set loads images with panoptic annotations and no more.
    Of all segments, things included, a random number is taken in random order; of stuff these are pasted. The upper
    left corners are laid on each other, and the image grows where the other one is larger. Stuff of one class is one
    segment, whichever image it is of.

    Args:
        transforms: Configs of transforms of the other image.
        num_things_classes: Labels of the label map below it are things, whose masks are pasted.
        ignore_index: Label of pixels without class.
        pad_val: Value of pixels of neither image, the mean by which images are normalised so that they become zero as
            padding is; images become floating-point numbers where there are some.
    """

    @options_checked
    def __init__(
        self,
        transforms: Sequence[dict],
        num_things_classes: CountOrZero,
        ignore_index: int = 255,
        pad_val: float = 127.5,
    ):
        self.transforms = Compose(list(transforms))
        self.num_things_classes, self.ignore_index, self.pad_val = num_things_classes, ignore_index, pad_val

    def get_indices(self, dataset: Sequence) -> int:
        """The index of the other image, any of the data set."""
        return int(np.random.randint(len(dataset)))

    get_indexes = get_indices  # mmdet's name

    def __call__(self, results: dict) -> dict:
        """Change 'img', 'img_shape', 'gt_seg_map' and, of things, 'gt_masks', 'gt_bboxes', 'gt_bboxes_labels' and
        'gt_ignore_flags' of `results`, by `results['mix_results'][0]`; an image that its transforms refuse pastes
        nothing."""
        other = self.transforms(results['mix_results'][0])
        if other is None:
            return results
        size = tuple(max(sides) for sides in zip(results['img'].shape[:2], other['img'].shape[:2]))
        for each in (results, other):
            each['img'] = _grown(each['img'], size, self.pad_val)
            each['gt_seg_map'] = _grown(each['gt_seg_map'], size, self.ignore_index)
            each['gt_masks'] = each['gt_masks'].pad(size, 0)
        pasted = self._pasted(other)
        results['img'] = np.where(pasted[..., None], other['img'], results['img'])
        results['gt_seg_map'] = np.where(pasted, other['gt_seg_map'], results['gt_seg_map'])
        results['img_shape'] = size
        self._join_things(results, other, pasted)
        return results

    def _pasted(self, other: dict) -> np.ndarray:
        """Which pixels of the other image are pasted, H x W."""
        labels = other['gt_seg_map']
        stuff = [
            label for label in np.unique(labels) if label >= self.num_things_classes and label != self.ignore_index
        ]
        masks = other['gt_masks'].masks
        count = len(masks) + len(stuff)
        kept = np.random.permutation(count)[: np.random.randint(count + 1)] - len(masks)
        chosen = [stuff[index] for index in kept if index >= 0]
        return np.isin(labels, chosen) | masks.any(axis=0)

    def _join_things(self, results: dict, other: dict, pasted: np.ndarray) -> None:
        """Cut what is pasted over out of the masks, leave out those of which nothing is left, and add the others."""
        masks = type(results['gt_masks']).cat([results['gt_masks'], other['gt_masks']])
        masks.masks[: len(results['gt_masks'])][:, pasted] = 0
        left = masks.masks.any(axis=(1, 2))
        results['gt_masks'] = masks[left]
        results['gt_bboxes'] = results['gt_masks'].get_bboxes(type(results['gt_bboxes']))
        for name in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[name] = np.concatenate([results[name], other[name]])[left]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, num_things_classes={self.num_things_classes})'


def _grown(image: np.ndarray, size: tuple[int, int], value: float) -> np.ndarray:
    """An image padded at the bottom and on the right; of its own type where there is nothing to pad."""
    missing = [side - have for side, have in zip(size, image.shape)]
    if not any(missing):
        return image
    kind = np.result_type(image.dtype, np.float32) if value % 1 else image.dtype
    widths = [(0, missing[0]), (0, missing[1]), *[(0, 0)] * (image.ndim - 2)]
    return np.pad(image.astype(kind), widths, constant_values=value)
