"""Random colours as torchvision changes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mmvitdense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ColorJitter:
    """Change brightness, contrast, saturation and hue, each with one probability, by torchvision's functions.

    Contrast comes before saturation and hue or after them, with equal probability (EoMT, `datasets/transforms.py`).
    mmseg's `PhotoMetricDistortion` differs: its brightness is added, its contrast is relative to black, and its hue
    is in units of two degrees.

    Args:
        brightness: The factor is 1 by up to this more or less.
        contrast: The same, relative to the mean grey of the image.
        saturation: The same.
        hue: The most by which the hue turns, of a whole turn.
        bgr: Whether images have their channels in the order of OpenCV, as OpenMMLab loads them.
        probability: That of each change.
    """

    def __init__(
        self,
        brightness: float = 32 / 255,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18 / 360,
        bgr: bool = True,
        probability: float = 0.5,
    ):
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= 0.5:
            raise ValueError(
                'ColorJitter needs brightness, contrast and saturation of at least 0 and hue of at most 0.5, got '
                f'{brightness}, {contrast}, {saturation} and {hue}'
            )
        if not 0 <= probability <= 1:
            raise ValueError(f'probability must be between 0 and 1, got {probability!r}')
        self.probability = probability
        self.brightness, self.contrast, self.saturation, self.hue, self.bgr = brightness, contrast, saturation, hue, bgr

    def __call__(self, results: dict) -> dict:
        """Change results['img'], H x W x 3 uint8."""
        image = results['img']
        rgb = image[..., ::-1] if self.bgr else image
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)
        colours = (self._saturation_and_hue, self._contrast)
        steps = colours if np.random.rand() < 0.5 else colours[::-1]
        for step in (self._brightness, *steps):
            pixels = step(pixels)
        changed = pixels.permute(1, 2, 0).numpy()
        results['img'] = np.ascontiguousarray(changed[..., ::-1] if self.bgr else changed)
        return results

    def _brightness(self, pixels: Tensor) -> Tensor:
        return self._maybe(F.adjust_brightness, pixels, self.brightness, 1.0)

    def _contrast(self, pixels: Tensor) -> Tensor:
        return self._maybe(F.adjust_contrast, pixels, self.contrast, 1.0)

    def _saturation_and_hue(self, pixels: Tensor) -> Tensor:
        pixels = self._maybe(F.adjust_saturation, pixels, self.saturation, 1.0)
        return self._maybe(F.adjust_hue, pixels, self.hue, 0.0)

    def _maybe(self, change: Callable[[Tensor, float], Tensor], pixels: Tensor, most: float, centre: float) -> Tensor:
        """Change with a random factor around `centre`, or not at all."""
        if np.random.rand() >= self.probability:
            return pixels
        amount = np.random.uniform(centre - most, centre + most)
        return change(pixels, max(amount, 0.0) if centre else amount)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, '
            f'saturation={self.saturation}, hue={self.hue}, bgr={self.bgr}, '
            f'probability={self.probability})'
        )
