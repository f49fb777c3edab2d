"""Boxes, masks and label maps on images.

mmdet's and mmseg's visualizers write labels larger than the objects of a small image, take seconds for a large label
map, and fail where a data set has no palette.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from .legend import text_scale, with_legend

_LEGIBLE = 512  # pixels; smaller images are enlarged by a whole factor
_MASK_OPACITY = 0.45
_MAP_OPACITY = 0.55
_INSTANCE_OFFSET = 1000  # mmdet.structures.INSTANCE_OFFSET
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Artist:
    """Draws labels and predictions of mmdet and mmseg data samples.

    Args:
        classes: Class names; a class beyond them is drawn by its number.
        palette: A colour (red, green, blue) for each class; distinct ones are made up for those it lacks.
    """

    def __init__(self, classes: Sequence[str], palette: Any = None):
        self.classes = tuple(classes)
        self._palette = [] if palette is None or isinstance(palette, str) else [tuple(colour) for colour in palette]

    def prediction(self, image: np.ndarray, sample: Any, score_thr: float, legend: bool = False) -> np.ndarray:
        """Draw what was predicted.

        Args:
            image: H x W x 3, BGR, uint8.
            sample: With `pred_instances`, `pred_sem_seg` or `pred_panoptic_seg` in the size of the image. Of a panoptic
                prediction the segments are drawn, not the scored instances besides.
            score_thr: Detections below it are left out.
            legend: Name the classes of a label map or of panoptic segments in a list on the right, the largest first,
                instead of on the map.

        Returns:
            The picture, BGR, uint8: H x W x 3, or a whole multiple of it if the image is small, and the legend.
        """
        if 'pred_panoptic_seg' in sample:
            return self._draw(image, None, None, panoptic_segments(sample, len(self.classes)), legend)
        instances = sample.get('pred_instances')
        if instances is not None:
            instances = instances[instances.scores >= score_thr]
        return self._draw(image, instances, sample.get('pred_sem_seg'), legend=legend)

    def truth(self, image: np.ndarray, sample: Any) -> np.ndarray:
        """Draw the labels of a sample, as `prediction` draws what was predicted."""
        return self._draw(image, sample.get('gt_instances'), sample.get('gt_sem_seg'))

    def side_by_side(self, image: np.ndarray, sample: Any, score_thr: float) -> np.ndarray:
        """Draw the labels on the left and the prediction on the right; the prediction alone if there are no labels."""
        predicted = self.prediction(image, sample, score_thr)
        if 'gt_instances' not in sample and 'gt_sem_seg' not in sample:
            return predicted
        gap = np.full((predicted.shape[0], 8, 3), 255, np.uint8)
        return np.concatenate([self.truth(image, sample), gap, predicted], axis=1)

    def colour(self, label: int) -> tuple[int, int, int]:
        """The colour of a class as blue, green, red."""
        if label < len(self._palette):
            red, green, blue = self._palette[label]
        else:
            hue = label * 0.618034 % 1  # steps by the golden ratio never come close to an earlier hue
            red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.75, 0.9))
        return int(blue), int(green), int(red)

    def _draw(
        self,
        image: np.ndarray,
        instances: Any,
        label_map: Any,
        segments: Sequence[tuple[int, np.ndarray]] = (),
        legend: bool = False,
    ) -> np.ndarray:
        factor = max(1, _LEGIBLE // max(image.shape[:2]))
        size = (image.shape[1] * factor, image.shape[0] * factor)
        picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else image.copy()
        areas = _areas(segments)
        if label_map is not None:
            areas = self._draw_map(picture, _resized(_pixels(label_map).astype(np.int32), size), not legend)
        if instances is not None:
            self._draw_instances(picture, instances, factor)
        segments = [(label, _resized(mask.astype(np.uint8), size)) for label, mask in segments]
        for label, mask in segments:
            _draw_mask(picture, mask, self.colour(label))
        if legend:
            largest = sorted(areas, key=areas.get, reverse=True)
            return with_legend(picture, [(self._name(label), self.colour(label)) for label in largest])
        for label, mask in segments:
            self._write(picture, self._name(label), self.colour(label), _heart(mask), centred=True)
        return picture

    def _draw_map(self, picture: np.ndarray, labels: np.ndarray, names: bool) -> dict[int, int]:
        """Tint the classes, with their names if asked; {class: its number of pixels}."""
        present = dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True))))
        present = {label: count for label, count in present.items() if label < max(len(self.classes), 1)}
        for label in present:
            here = labels == label
            picture[here] = _mixed(picture[here], self.colour(label), _MAP_OPACITY)
        for label in present if names else ():
            self._write(picture, self._name(label), self.colour(label), _heart(labels == label), centred=True)
        return present

    def _draw_instances(self, picture: np.ndarray, instances: Any, factor: int) -> None:
        boxes = _numpy(instances.bboxes).reshape(-1, 4) * factor
        labels = _numpy(instances.labels)
        scores = _numpy(instances.scores) if 'scores' in instances else None
        order = np.arange(len(boxes)) if scores is None else np.argsort(scores)
        size = (picture.shape[1], picture.shape[0])
        masks = _numpy(instances.masks) if 'masks' in instances and len(boxes) else None
        for index in order:
            colour = self.colour(labels[index])
            if masks is not None:
                _draw_mask(picture, _resized(masks[index].astype(np.uint8), size), colour)
            corners = boxes[index].round().astype(int).tolist()
            cv2.rectangle(picture, tuple(corners[:2]), tuple(corners[2:]), colour, _thickness(picture))
        for index in order:
            text = self._name(labels[index]) + ('' if scores is None else f' {scores[index]:.2f}')
            self._write(picture, text, self.colour(labels[index]), tuple(boxes[index, :2].round().astype(int).tolist()))

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'

    @staticmethod
    def _write(
        picture: np.ndarray, text: str, colour: tuple[int, int, int], place: tuple[int, int], centred: bool = False
    ) -> None:
        """Write on a patch of `colour`, above `place` or around it, moved inside of the picture."""
        scale = text_scale(picture)
        (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
        left, bottom = (place[0] - width // 2, place[1] + height // 2) if centred else place
        left = min(max(left, 0), max(picture.shape[1] - width - 2, 0))
        bottom = min(max(bottom, height + base), picture.shape[0])
        cv2.rectangle(picture, (left, bottom - height - base), (left + width + 2, bottom), colour, cv2.FILLED)
        ink = (0, 0, 0) if np.dot(colour, (0.114, 0.587, 0.299)) > 140 else (255, 255, 255)
        cv2.putText(picture, text, (left + 1, bottom - base + 1), _FONT, scale, ink, 1, cv2.LINE_AA)


def as_picture(pixels: np.ndarray) -> np.ndarray:
    """An image of any kind as one that can be looked at.

    Args:
        pixels: H x W or H x W x C. Of more than three channels the first three are shown, of two the first.

    Returns:
        H x W x 3, uint8, in the order of the channels (BGR where the image is). Values from 0 to 255 are rounded;
        others, as normalised images or 16 bits have them, are stretched to that range.

    Raises:
        ValueError: it has other dimensions.
    """
    if pixels.ndim not in (2, 3):
        raise ValueError(f'An image of H x W or H x W x C can be drawn, got an array of {pixels.shape}.')
    if pixels.dtype != np.uint8:
        pixels = np.nan_to_num(pixels.astype(np.float32))
        low, high = pixels.min(), pixels.max()
        if low < 0 or high > 255 or high <= 1:
            pixels = (pixels - low) / max(high - low, 1e-6) * 255
        pixels = pixels.round().astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., [0, 0, 0]])


def panoptic_segments(sample: Any, num_classes: int) -> list[tuple[int, np.ndarray]]:
    """The segments of mmdet's `pred_panoptic_seg`, as (class index, H x W bool) in order of their ids.

    mmdet writes class + 1000 x instance for each pixel, and the number of classes where there is no segment.
    """
    ids = _pixels(sample.pred_panoptic_seg)
    found = [(int(number) % _INSTANCE_OFFSET, ids == number) for number in np.unique(ids)]
    return [(label, mask) for label, mask in found if label < num_classes]


def _pixels(field: Any) -> np.ndarray:
    """The H x W values of a map, which mmseg calls `data` and mmdet `sem_seg`."""
    return _numpy(field.data if 'data' in field else field.sem_seg)[0].astype(np.int32)


def _areas(segments: Sequence[tuple[int, np.ndarray]]) -> dict[int, int]:
    """{class: pixels in its segments}."""
    areas: dict[int, int] = {}
    for label, mask in segments:
        areas[label] = areas.get(label, 0) + int(np.count_nonzero(mask))
    return areas


def _draw_mask(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    here = mask > 0
    picture[here] = _mixed(picture[here], colour, _MASK_OPACITY)
    outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, colour, _thickness(picture))


def _mixed(pixels: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    return (pixels * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)


def _heart(mask: np.ndarray) -> tuple[int, int]:
    """The point of a region that is farthest from its border and from that of the picture, as x, y."""
    distance = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)


def _thickness(picture: np.ndarray) -> int:
    return max(2, round(max(picture.shape[:2]) / 500))


def _resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    same = array.shape == size[::-1]
    return array if same else cv2.resize(array, size, interpolation=cv2.INTER_NEAREST)


def _numpy(values: Any) -> np.ndarray:
    """The values of a tensor, of mmdet's boxes (`tensor`) or of mmdet's masks (`to_ndarray()`)."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return values.to_ndarray() if hasattr(values, 'to_ndarray') else np.asarray(values)
