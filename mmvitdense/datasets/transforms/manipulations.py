"""Transforms for finding manipulations of images (IML-ViT, arXiv 2307.14863; `utils/iml_transforms.py`)."""

from __future__ import annotations

import cv2
import mmengine.fileio
import numpy as np
from mmcv.transforms import BaseTransform, LoadAnnotations

from mmvitdense.registry import TRANSFORMS

_MIDDLE = 127.5
_CHANNELS = 2


@TRANSFORMS.register_module()
class LoadManipulationMask(LoadAnnotations):
    """Load a mask, whose pixels are manipulated where they are brighter than the middle, as label 1; else 0.

    Channels are averaged. An image without mask (`seg_map_path` None) is untouched. As a kind of mmcv's
    `LoadAnnotations` it is left out where there is nothing but images to predict for.
    """

    def __init__(self):
        super().__init__(with_bbox=False, with_label=False, with_seg=True)

    def transform(self, results: dict) -> dict:
        """Add 'gt_seg_map', H x W uint8.

        Raises:
            ValueError: The mask cannot be read, or has another size than the image, which was loaded before.
        """
        size = results['ori_shape'][:2]
        path = results['seg_map_path']
        if path is None:
            labels = np.zeros(size, np.uint8)
        else:
            data = np.frombuffer(mmengine.fileio.get(path), np.uint8)
            mask = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if mask is None:
                raise ValueError(f'the mask {path} cannot be read as an image')
            labels = (mask.mean(axis=_CHANNELS) > _MIDDLE).astype(np.uint8)
            if labels.shape != tuple(size):
                raise ValueError(f'the mask {path} is {labels.shape} pixels, its image {tuple(size)}')
        results['gt_seg_map'] = labels
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


class _Window:
    """A window of random size and place.

    Args:
        prob: How often the transform acts.
        smallest: Least share of each side of the image that a window covers.
        largest: Bound of that share.
    """

    def __init__(self, prob: float = 0.1, smallest: float = 0.05, largest: float = 0.8):
        if not 0 <= prob <= 1 or not 0 < smallest < largest < 1:
            raise ValueError(
                f'{type(self).__name__} needs prob from 0 to 1 and 0 < smallest < largest < 1, got {prob}, {smallest}, '
                f'{largest}'
            )
        self.prob, self.smallest, self.largest = prob, smallest, largest

    def _acts(self) -> bool:
        return np.random.rand() < self.prob

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        bounds = [(max(1, int(side * self.smallest)), int(side * self.largest)) for side in shape[:2]]
        return tuple(np.random.randint(low, max(high, low + 1)) for low, high in bounds)

    @staticmethod
    def _place(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[slice, slice]:
        starts = [np.random.randint(0, max(side - length, 1)) for side, length in zip(shape, size)]
        return tuple(slice(start, start + length) for start, length in zip(starts, size))


@TRANSFORMS.register_module()
class RandomCopyMove(_Window, BaseTransform):
    """Copy a window of the image to another place, which becomes manipulated."""

    def transform(self, results: dict) -> dict:
        """Change 'img' and 'gt_seg_map'."""
        if self._acts():
            image = results['img'].copy()
            size = self._size(image.shape)
            source, target = (self._place(image.shape, size) for _ in range(2))
            image[target] = results['img'][source]
            results['img'] = image
            results['gt_seg_map'] = results['gt_seg_map'].copy()
            results['gt_seg_map'][target] = 1
        return results


@TRANSFORMS.register_module()
class RandomInpaint(_Window, BaseTransform):
    """Paint a window anew from what is around it, by Telea's method or Navier-Stokes; it becomes manipulated."""

    def transform(self, results: dict) -> dict:
        """Change 'img' and 'gt_seg_map'."""
        if self._acts():
            image = results['img']
            where = self._place(image.shape, self._size(image.shape))
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[where] = 1
            method = cv2.INPAINT_TELEA if np.random.rand() > 0.5 else cv2.INPAINT_NS
            results['img'] = cv2.inpaint(image, mask, 3, method)
            results['gt_seg_map'] = np.maximum(results['gt_seg_map'], mask)
        return results


@TRANSFORMS.register_module()
class ManipulationEdge(BaseTransform):
    """The band along the border of manipulated pixels (`utils/edge_generator.py`).

    A pixel is in it where a cross around it has both kinds of pixels. It comes before padding.

    Args:
        width: Length of the arms of the cross in pixels, odd.
    """

    def __init__(self, width: int = 7):
        if isinstance(width, bool) or not isinstance(width, int) or width < 1 or not width % 2:
            raise ValueError(f'ManipulationEdge needs an odd width in pixels, got {width!r}')
        self.width = width

    def transform(self, results: dict) -> dict:
        """Add 'gt_edge_map', H x W of 0 and 1."""
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (self.width, self.width))
        labels = results['gt_seg_map']
        outside = {'borderType': cv2.BORDER_CONSTANT, 'borderValue': 0}
        near, near_others = (cv2.dilate(part, cross, **outside) for part in (labels, 1 - labels))
        results['gt_edge_map'] = near & near_others
        results.setdefault('seg_fields', []).append('gt_edge_map')
        return results


@TRANSFORMS.register_module()
class PadPixels(BaseTransform):
    """Pad an image with black pixels at the bottom and on the right, before it is normalised; labels with 0.

    Args:
        size: Height and width to reach.
        crop: Whether what is larger is cut off at the bottom and on the right, as the released code does; else it
            stays larger, for windows.
    """

    def __init__(self, size: tuple[int, int], crop: bool = False):
        self.size, self.crop = tuple(size), crop

    def transform(self, results: dict) -> dict:
        """Change 'img' and the maps of 'seg_fields'; 'img_shape' is the part that is image, 'padding_size' the rest."""
        for key in ('img', *results.get('seg_fields', ())):
            part = results[key][: self.size[0], : self.size[1]] if self.crop else results[key]
            missing = [(0, max(wanted - side, 0)) for wanted, side in zip(self.size, part.shape)]
            results[key] = np.pad(part, missing + [(0, 0)] * (part.ndim - 2))
            if key == 'img':
                results['img_shape'], results['pad_shape'] = part.shape[:2], results[key].shape[:2]
                results['padding_size'] = (0, missing[1][1], 0, missing[0][1])
        return results
