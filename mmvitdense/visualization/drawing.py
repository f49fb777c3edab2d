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

from mmvitdense.mask_codes import Region

from .legend import text_scale, with_legend
from .lettering import text_size, write_text
from .scenes import Scene, prediction_scene, truth_scene

_LEGIBLE = 512  # pixels; smaller images are enlarged by a whole factor
_MASK_OPACITY = 0.45
_MAP_OPACITY = 0.55
_GREY = (90, 90, 90)
_ROWS = 256  # of a map that are looked at together
_LOOKED_AT = 512  # points along a side of a region that are compared
_OF_PICTURES = (1, 3)
_AS_STORED = (2, 1, 0)
# {number of channels: those of red, green and blue}; Sentinel-2 has 13 bands, 12 without the cirrus.
_SHOWN = {1: (0, 0, 0), 2: (0, 0, 0), 12: (3, 2, 1), 13: (3, 2, 1)}


class Artist:
    """Draws labels and predictions, of plain results and of data samples of mmdet and mmseg.

    Args:
        classes: Class names; a class beyond them is drawn by its number.
        palette: A colour (red, green, blue) for each class; distinct ones are made up for those it lacks.
    """

    def __init__(self, classes: Sequence[str], palette: Any = None):
        self.classes = tuple(classes)
        self._palette = [] if palette is None or isinstance(palette, str) else [tuple(colour) for colour in palette]

    def draw(self, image: np.ndarray, scene: Scene, legend: bool = False) -> np.ndarray:
        """Draw a scene.

        Args:
            image: H x W x 3, BGR, uint8.
            scene: In the size of the image.
            legend: Name the classes of a label map or of panoptic segments in a list on the right, the largest first,
                instead of on the map.

        Returns:
            The picture, BGR, uint8: H x W x 3, or a whole multiple of it if the image is small, and the legend.
        """
        factor = max(1, _LEGIBLE // max(image.shape[:2]))
        size = (image.shape[1] * factor, image.shape[0] * factor)
        picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else image.copy()
        areas: dict[int, int] = {}
        if scene.label_map is not None:
            areas = self._draw_map(picture, _resized(scene.label_map, size), not legend)
        if scene.labels is not None and (scene.boxes is not None or scene.masks is not None):
            self._draw_instances(picture, scene, factor)
        names = []
        for label, part in scene.segments(len(self.classes)):
            areas[label] = areas.get(label, 0) + int(np.count_nonzero(part.mask))
            part = _enlarged(part, factor)
            _draw_mask(picture, part, self.colour(label))
            if not legend:
                names.append((label, _heart(part.mask, part.left, part.top)))
        for label, place in names:
            self._write(picture, self._name(label), self.colour(label), place, centred=True)
        if legend:
            largest = sorted(areas, key=areas.get, reverse=True)
            return with_legend(picture, [(self._name(label), self.colour(label)) for label in largest])
        return picture

    def prediction(self, image: np.ndarray, sample: Any, score_thr: float, legend: bool = False) -> np.ndarray:
        """Draw what was predicted, as `draw` does.

        Args:
            image: H x W x 3, BGR, uint8.
            sample: With `pred_instances`, `pred_sem_seg` or `pred_panoptic_seg` in the size of the image. Of a panoptic
                prediction the segments are drawn, not the scored instances besides.
            score_thr: Detections below it are left out.
            legend: As for `draw`.
        """
        return self.draw(image, prediction_scene(sample, score_thr), legend)

    def truth(self, image: np.ndarray, sample: Any) -> np.ndarray:
        """Draw the labels of a sample, as `prediction` draws what was predicted."""
        return self.draw(image, truth_scene(sample))

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
            red, green, blue = _distinct_colour(label)
        return int(blue), int(green), int(red)

    def _draw_map(self, picture: np.ndarray, labels: np.ndarray, names: bool) -> dict[int, int]:
        """Tint the classes, with their names if asked; {class: its number of pixels}."""
        counts = _counts(labels)
        present = {label: count for label, count in counts.items() if label < max(len(self.classes), 1)}
        table = np.zeros((max([*counts, 0]) + 1, 3), np.uint8)
        tinted = np.zeros(len(table), bool)
        for label in present:
            table[label], tinted[label] = self.colour(label), True
        for top in range(0, len(picture), _ROWS):
            rows, here = picture[top : top + _ROWS], labels[top : top + _ROWS]
            mixed = cv2.addWeighted(rows, 1 - _MAP_OPACITY, table[here], _MAP_OPACITY, 0)
            if len(present) == len(counts):
                rows[:] = mixed
            else:
                np.copyto(rows, mixed, where=tinted[here][..., None])
        for label in present if names else ():
            self._write(picture, self._name(label), self.colour(label), _heart(labels == label), centred=True)
        return present

    def _draw_instances(self, picture: np.ndarray, scene: Scene, factor: int) -> None:
        boxes = None if scene.boxes is None else np.asarray(scene.boxes).reshape(-1, 4) * factor
        order = np.arange(len(scene.labels)) if scene.scores is None else np.argsort(scene.scores)
        places = {}
        for index in order:
            colour = self.colour(scene.labels[index])
            if scene.masks is not None:
                part = _enlarged(scene.mask(index), factor)
                _draw_mask(picture, part, colour)
                places[index] = (part.left, part.top)
            if boxes is not None:
                corners = boxes[index].round().astype(int).tolist()
                cv2.rectangle(picture, tuple(corners[:2]), tuple(corners[2:]), colour, _thickness(picture))
                places[index] = tuple(corners[:2])
        for index in order:
            text = self._name(scene.labels[index]) + ('' if scene.scores is None else f' {scene.scores[index]:.2f}')
            self._write(picture, text, self.colour(scene.labels[index]), places[index])

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'

    @staticmethod
    def _write(
        picture: np.ndarray, text: str, colour: tuple[int, int, int], place: tuple[int, int], centred: bool = False
    ) -> None:
        """Write on a patch of `colour`, above `place` or around it, moved inside of the picture."""
        scale = text_scale(picture)
        (width, height), base = text_size(text, scale)
        left, bottom = (place[0] - width // 2, place[1] + height // 2) if centred else place
        left = min(max(left, 0), max(picture.shape[1] - width - 2, 0))
        bottom = min(max(bottom, height + base), picture.shape[0])
        cv2.rectangle(picture, (left, bottom - height - base), (left + width + 2, bottom), colour, cv2.FILLED)
        ink = (0, 0, 0) if np.dot(colour, (0.114, 0.587, 0.299)) > 140 else (255, 255, 255)
        write_text(picture, text, (left + 1, bottom - base + 1), scale, ink)


def class_colours(classes: Sequence[str]) -> list[tuple[int, int, int]]:
    """Colours (red, green, blue) that can be told apart, and grey for what is called background."""
    return [_GREY if name.lower() == 'background' else _distinct_colour(label) for label, name in enumerate(classes)]


def _distinct_colour(label: int) -> tuple[int, int, int]:
    hue = label * 0.618034 % 1  # steps by the golden ratio never come close to an earlier hue
    return tuple(round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.75, 0.9))


def as_picture(pixels: np.ndarray, bands: Sequence[int] | None = None) -> np.ndarray:
    """An image of any kind as one that can be looked at.

    Args:
        pixels: H x W or H x W x C.
        bands: The channels of red, green and blue, counted from 0. By default a picture of one or two channels is grey,
            that of 12 or 13 has those of Sentinel-2 (B4, B3, B2), and that of others the first three as blue, green
            and red.

    Returns:
        H x W x 3, BGR, uint8. Values from 0 to 255 are rounded; others, as normalised images or 16 bits have them, are
        stretched to that range: the channels of a picture together, bands each from its 2nd to its 98th percentile.

    Raises:
        ValueError: it has other dimensions, or lacks one of the channels.
    """
    if pixels.ndim not in (2, 3):
        raise ValueError(f'An image of H x W or H x W x C can be drawn, got an array of {pixels.shape}.')
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if bands is None:
        bands = _SHOWN.get(channels, _AS_STORED)
    elif any(not 0 <= band < channels for band in bands):
        raise ValueError(f'The bands {list(bands)} are to be shown, and the image has {channels}, counted from 0.')
    shown = pixels if bands == _AS_STORED and channels == _OF_PICTURES[-1] else pixels[..., list(bands)[::-1]]
    if shown.dtype != np.uint8:
        shown = np.nan_to_num(shown.astype(np.float32))
        low, high = shown.min(), shown.max()
        if low < 0 or high > 255 or high <= 1:
            if channels not in _OF_PICTURES:
                low, high = np.percentile(shown, (2, 98), axis=(0, 1))
            shown = ((shown - low) / np.maximum(high - low, 1e-6) * 255).clip(0, 255)
        shown = shown.round().astype(np.uint8)
    return np.ascontiguousarray(shown)


def _counts(labels: np.ndarray) -> dict[int, int]:
    """{value: how often it occurs} of a map of whole numbers from 0 on; sorting millions of them takes seconds."""
    counts = np.zeros(0, np.int64)
    for top in range(0, len(labels), _ROWS):
        found = np.bincount(labels[top : top + _ROWS].ravel(), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}


def _draw_mask(picture: np.ndarray, part: Region, colour: tuple[int, int, int]) -> None:
    mask, left, top = part
    if mask.size == 0:
        return
    below = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    here = mask > 0
    below[here] = _mixed(below[here], colour, _MASK_OPACITY)
    pixels = np.ascontiguousarray(mask, np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(picture, outlines, -1, colour, _thickness(picture))


def _mixed(pixels: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    return (pixels * np.float32(1 - opacity) + np.array(colour, np.float32) * np.float32(opacity)).astype(np.uint8)


def _heart(mask: np.ndarray, left: int = 0, top: int = 0) -> tuple[int, int]:
    """The point of a region that is farthest from its border and from that of the picture, as x, y.

    Large regions are looked at in steps of several pixels, unless they fall between the steps.
    """
    step = max(1, max(mask.shape) // _LOOKED_AT)
    coarse = mask[::step, ::step]
    if not coarse.any():
        step, coarse = 1, mask
    distance = cv2.distanceTransform(np.pad(coarse.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return left + int(x) * step, top + int(y) * step


def _thickness(picture: np.ndarray) -> int:
    return max(2, round(max(picture.shape[:2]) / 500))


def _resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map in another size, the values staying what they are."""
    if array.shape == size[::-1]:
        return array
    return cv2.resize(array.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)


def _enlarged(part: Region, factor: int) -> Region:
    if factor == 1 or part.mask.size == 0:
        return part
    mask = np.repeat(np.repeat(part.mask, factor, axis=0), factor, axis=1)
    return Region(mask, part.left * factor, part.top * factor)
