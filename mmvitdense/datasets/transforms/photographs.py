"""What happens to photographs: other sizes, turns, light, compression, blur (IML-ViT; albumentations' definitions)."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmvitdense.registry import TRANSFORMS


class _Sometimes(BaseTransform):
    """A change with a probability.

    Args:
        prob: How often the image is changed.
    """

    def __init__(self, prob: float = 0.5):
        if not 0 <= prob <= 1:
            raise ValueError(f'{type(self).__name__} needs prob from 0 to 1, got {prob!r}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change 'img' and, where the change moves pixels, the maps of 'seg_fields'."""
        if np.random.rand() < self.prob:
            self._change(results)
        return results

    def _change(self, results: dict) -> None:
        raise NotImplementedError


@TRANSFORMS.register_module()
class RandomScale(_Sometimes):
    """Resize by a random factor, both sides alike, bilinearly; label maps take nearest pixels.

    Args:
        limit: The factor is 1 by up to this more or less.
        prob: How often the image is resized.
    """

    def __init__(self, limit: float = 0.2, prob: float = 1.0):
        super().__init__(prob)
        self.limit = limit

    def _change(self, results: dict) -> None:
        factor = np.random.uniform(1 - self.limit, 1 + self.limit)
        height, width = (max(1, int(side * factor)) for side in results['img'].shape[:2])
        for key in ('img', *results.get('seg_fields', ())):
            how = cv2.INTER_LINEAR if key == 'img' else cv2.INTER_NEAREST
            results[key] = cv2.resize(results[key], (width, height), interpolation=how)
        results['img_shape'] = (height, width)


@TRANSFORMS.register_module()
class RandomQuarterTurn(_Sometimes):
    """Turn by 0, 90, 180 or 270 degrees."""

    def _change(self, results: dict) -> None:
        turns = np.random.randint(4)
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = np.ascontiguousarray(np.rot90(results[key], turns))
        results['img_shape'] = results['img'].shape[:2]


@TRANSFORMS.register_module()
class RandomBrightnessContrast(_Sometimes):
    """Multiply the pixels, and add a share of white.

    Args:
        brightness: The share is up to this, or less than nothing by as much.
        contrast: The factor is 1 by up to this more or less.
        prob: How often the image is changed.
    """

    def __init__(self, brightness: float = 0.1, contrast: float = 0.1, prob: float = 1.0):
        super().__init__(prob)
        self.brightness, self.contrast = brightness, contrast

    def _change(self, results: dict) -> None:
        factor = 1 + np.random.uniform(-self.contrast, self.contrast)
        white = 255 * np.random.uniform(-self.brightness, self.brightness)
        table = np.clip(np.arange(256, dtype=np.float32) * factor + white, 0, 255).astype(np.uint8)
        results['img'] = cv2.LUT(results['img'], table)


@TRANSFORMS.register_module()
class RandomJpeg(_Sometimes):
    """Compress as JPEG and decompress.

    Args:
        quality: Range of the quality, both ends included.
        prob: How often the image is compressed.
    """

    def __init__(self, quality: tuple[int, int] = (70, 100), prob: float = 0.2):
        super().__init__(prob)
        self.quality = tuple(quality)

    def _change(self, results: dict) -> None:
        quality = int(np.random.randint(self.quality[0], self.quality[1] + 1))
        _, code = cv2.imencode('.jpg', results['img'], [cv2.IMWRITE_JPEG_QUALITY, quality])
        results['img'] = cv2.imdecode(code, cv2.IMREAD_COLOR)


@TRANSFORMS.register_module()
class RandomGaussianBlur(_Sometimes):
    """Blur with a kernel of random size, and the spread that OpenCV gives it.

    Args:
        kernel: Smallest and largest side of the kernel, odd.
        prob: How often the image is blurred.
    """

    def __init__(self, kernel: tuple[int, int] = (3, 7), prob: float = 0.2):
        super().__init__(prob)
        self.kernel = tuple(kernel)

    def _change(self, results: dict) -> None:
        side = int(np.random.choice(np.arange(self.kernel[0], self.kernel[1] + 1, 2)))
        results['img'] = cv2.GaussianBlur(results['img'], (side, side), 0)
