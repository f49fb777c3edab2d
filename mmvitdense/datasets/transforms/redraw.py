"""Random transforms that are drawn anew until something of the annotation is left."""

from __future__ import annotations

import copy

import numpy as np
from mmengine.dataset import Compose

from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Redraw:
    """Run transforms on an image again, from its start, while they leave neither a mask nor a label (EoMT,
    `datasets/transforms.py`).

    What is left is a mask of an object that is not ignored, with a pixel, or a pixel of the label map that is not
    `ignore_index`; without both, a box. After `max_draws` the last result stands; a transform that returns None
    ends a draw.

    Args:
        transforms: Configs of transforms.
        ignore_index: Label of pixels without class.
        max_draws: Most draws; an image without annotation would be drawn for ever.
    """

    def __init__(self, transforms: list[dict], ignore_index: int = 255, max_draws: int = 20):
        if max_draws < 1:
            raise ValueError(f'max_draws must be at least 1, got {max_draws}')
        self.transforms, self.ignore_index, self.max_draws = Compose(transforms), ignore_index, max_draws

    def __call__(self, results: dict) -> dict | None:
        """Transform `results`, the dict of a pipeline."""
        for _ in range(self.max_draws):
            drawn = self.transforms(copy.deepcopy(results))
            if drawn is not None and self._has_annotation(drawn):
                break
        return drawn

    def _has_annotation(self, results: dict) -> bool:
        if results.get('gt_seg_map') is not None and (results['gt_seg_map'] != self.ignore_index).any():
            return True
        counted = ~np.asarray(results.get('gt_ignore_flags', np.zeros(0)), dtype=bool)
        if results.get('gt_masks') is not None:
            return bool((results['gt_masks'].areas[counted] > 0).any())
        return bool(counted.any())

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, max_draws={self.max_draws})'
