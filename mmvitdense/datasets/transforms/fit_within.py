"""Images that fit into a given size."""

from __future__ import annotations

import copy
from typing import Any

from mmcv.image import rescale_size
from mmcv.transforms import Resize
from mmcv.transforms.base import BaseTransform

from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FitWithin(BaseTransform):
    """Resize as another step does, but never to more than a height and a width, with the ratio of the sides kept.

    Args:
        size: (height, width) in pixels.
        resize: Config of mmcv's `Resize` or a step derived from it. None for images that are shrunk where they are
            too large, and else left as they are.
    """

    def __init__(self, size: tuple[int, int], resize: dict | None = None):
        self.size = tuple(size)
        self.resize = None if resize is None else TRANSFORMS.build(resize)
        if resize is not None and not isinstance(self.resize, Resize):
            raise TypeError(f'resize is a {type(self.resize).__name__}; expected a step derived from Resize of mmcv')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize what `Resize` resizes."""
        height, width = results['img'].shape[:2]
        if self.resize is not None:
            step = self.resize
            scale = step.scale or tuple(int(s * f + 0.5) for s, f in zip((width, height), step.scale_factor))
            width, height = rescale_size((width, height), scale) if step.keep_ratio else scale
        factor = min(self.size[0] / height, self.size[1] / width)
        if factor >= 1:
            return results if self.resize is None else self.resize(results)
        step = copy.copy(self.resize) if self.resize is not None else Resize(scale=(1, 1))
        limits = reversed(self.size)
        step.scale = tuple(min(max(int(side * factor + 0.5), 1), limit) for side, limit in zip((width, height), limits))
        step.keep_ratio = False
        return step(results)
