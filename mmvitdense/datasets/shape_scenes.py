"""Scenes of coloured shapes with exact masks: what the built-in data set shows.

Objects are painted one over the other (painter's order), each as an anti-aliased polygon. A pixel belongs to the
topmost object that covers at least half of it, so the masks of a scene never overlap and are exact by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ('circle', 'square', 'triangle', 'star', 'ring')

# Radius of the circle around a shape, relative to that of a disc that looks equally large.
_RADIUS = {'circle': 1.0, 'square': 1.15, 'triangle': 1.25, 'star': 1.25, 'ring': 1.05}
_RING_HOLE = 0.55
_STAR_WAIST = 0.45
_DIAMETER = (0.24, 0.46)  # of a disc, as a part of the image's shorter side
_SUBPIXELS = 8
# Most objects of a class have about this hue (degrees), the others any: the shape decides, the colour is a strong hint.
_HUE = {'circle': 0, 'square': 215, 'triangle': 140, 'star': 45, 'ring': 280}
_HUE_SPREAD = 20
_TYPICAL = 0.9
_LIGHT = np.array([-0.6, -0.8])  # direction towards the light, x and y
_ATTEMPTS = 400


@dataclass(frozen=True)
class Scene:
    """One picture and what is in it.

    Attributes:
        image: H x W x 3, uint8, BGR.
        instances: H x W, int32; 0 is background, k the k-th object of `labels` counted from 1.
        labels: Class index (into `CLASSES`) of each object, from the lowest to the topmost.
    """

    image: np.ndarray
    instances: np.ndarray
    labels: tuple[int, ...]

    def semantic_map(self) -> np.ndarray:
        """Return the class of each pixel as H x W uint8: 0 is background, class index + 1 otherwise."""
        return np.array([0, *(label + 1 for label in self.labels)], dtype=np.uint8)[self.instances]


def paint_scene(
    rng: np.random.Generator,
    height: int,
    width: int,
    objects: tuple[int, int] = (1, 5),
    min_visible: float = 0.5,
    min_pixels: int = 24,
) -> Scene:
    """Paint a random scene.

    Classes, sizes, rotations and places are drawn independently of each other; nine of ten objects of a class have its
    typical colour, the others any.

    Args:
        rng: Source of all randomness.
        height, width: Size of the image in pixels.
        objects: Smallest and largest number of objects.
        min_visible: Each object shows at least this part of its pixels inside the image.
        min_pixels: Each object shows at least this many pixels.

    Raises:
        ValueError: If that many objects do not fit.
    """
    image, base_colour = _background(rng, height, width)
    instances = np.zeros((height, width), np.int32)
    labels, sizes = [], []
    colours = [base_colour]
    for number in range(1, int(rng.integers(objects[0], objects[1] + 1)) + 1):
        for attempt in range(_ATTEMPTS):
            label = int(rng.integers(len(CLASSES)))
            # Crowded scenes are filled with smaller objects once the large ones stop fitting.
            shrink = 0.9 ** (attempt // 20)
            coverage, radius = _random_coverage(rng, CLASSES[label], height, width, shrink)
            painted = np.where(coverage >= 0.5, number, instances)
            visible = np.bincount(painted.ravel(), minlength=number + 1)[1:]
            full = np.array([*sizes, visible[-1]])
            if np.all(visible >= np.maximum(min_pixels, min_visible * full)):
                break
        else:
            raise ValueError(
                f'{objects[1]} objects do not fit into an image of {width}x{height} pixels with at least {min_pixels} '
                'visible pixels each: ask for fewer objects or larger images.'
            )
        instances, sizes = painted, [*full]
        labels.append(label)
        colours.append(_distinct_colour(rng, colours, CLASSES[label]))
        image = _paint(image, coverage, colours[-1], radius)
    image += rng.normal(0.0, rng.uniform(2.0, 6.0), image.shape)
    return Scene(np.clip(np.rint(image), 0, 255).astype(np.uint8), instances, tuple(labels))


def _random_coverage(
    rng: np.random.Generator, name: str, height: int, width: int, shrink: float
) -> tuple[np.ndarray, float]:
    """Return the part of each pixel (H x W, 0 to 1) that a random shape of this class covers, and its radius."""
    radius = 0.5 * shrink * rng.uniform(*_DIAMETER) * min(height, width) * _RADIUS[name]
    margin = 0.75 * radius
    centre = rng.uniform((margin, margin), (width - margin, height - margin))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    low = np.floor(centre - radius - 1).astype(int)
    side = int(np.ceil(2 * radius)) + 3
    canvas = np.zeros((side * _SUBPIXELS, side * _SUBPIXELS), np.uint8)
    contours = [
        np.rint((contour * radius + centre - low) * _SUBPIXELS).astype(np.int32) for contour in _contours(name, angle)
    ]
    # The even-odd rule of fillPoly leaves the inner contour of a ring empty.
    cv2.fillPoly(canvas, contours, 1)
    cells = canvas.reshape(side, _SUBPIXELS, side, _SUBPIXELS).mean((1, 3))
    coverage = np.zeros((height, width))
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(low + side, (width, height))
    coverage[y0:y1, x0:x1] = cells[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
    return coverage, radius


def _contours(name: str, angle: float) -> list[np.ndarray]:
    """Return the closed contours (N x 2 each, x and y) of a shape inscribed in the unit circle."""
    corners = {'circle': 96, 'square': 4, 'triangle': 3, 'star': 10, 'ring': 96}[name]
    turns = angle + 2.0 * np.pi * np.arange(corners) / corners
    outer = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    if name == 'star':
        outer[1::2] *= _STAR_WAIST
    return [outer, outer * _RING_HOLE] if name == 'ring' else [outer]


def _paint(image: np.ndarray, coverage: np.ndarray, colour: np.ndarray, radius: float) -> np.ndarray:
    """Lay a shape over the image with a soft shadow below it, a lit side and a darker rim."""
    height, width = coverage.shape
    shift = np.float32([[1, 0, 0.16 * radius], [0, 1, 0.20 * radius]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(coverage, shift, (width, height)), (0, 0), max(0.12 * radius, 0.5))
    image = image * (1.0 - 0.4 * shadow[..., None])
    rows, columns = np.nonzero(coverage)
    centre = np.array([columns.mean(), rows.mean()])
    x, y = np.arange(width)[None, :] - centre[0], np.arange(height)[:, None] - centre[1]
    light = np.clip((x * _LIGHT[0] + y * _LIGHT[1]) / radius, -1.0, 1.0)
    rim = cv2.GaussianBlur(coverage, (0, 0), max(0.07 * radius, 0.5))
    shade = (1.0 + 0.16 * light) * (0.6 + 0.4 * rim)
    return image * (1.0 - coverage[..., None]) + coverage[..., None] * shade[..., None] * colour


def _background(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a muted gradient with a faint texture (H x W x 3 float BGR) and its middle colour."""
    first = _colour(rng, (0.05, 0.35), (0.35, 0.95), hue=rng.uniform(0, 360))
    second = np.clip(first + rng.uniform(-45, 45, 3), 20, 250)
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    blend = np.clip(0.5 + 0.4 * along, 0, 1)[..., None]
    period = rng.uniform(0.12, 0.35)
    texture = {
        'cloud': lambda: cv2.resize(rng.normal(0, 0.6, (7, 7)), (width, height), interpolation=cv2.INTER_CUBIC),
        'stripes': lambda: np.sin(2 * np.pi * along / period),
        'checks': lambda: np.tanh(4 * np.sin(np.pi * along / period) * np.sin(np.pi * across / period)),
        'waves': lambda: np.sin(2 * np.pi * (along + 0.12 * np.sin(4 * across)) / period),
        'plain': lambda: np.zeros((height, width)),
    }
    name = list(texture)[rng.integers(len(texture))]
    return (1 - blend) * first + blend * second + rng.uniform(4, 14) * texture[name]()[..., None], (first + second) / 2


def _distinct_colour(rng: np.random.Generator, others: list[np.ndarray], name: str) -> np.ndarray:
    """Return a colour for an object of this class that stands out from the background and the other objects."""
    hue, spread = (_HUE[name], _HUE_SPREAD) if rng.random() < _TYPICAL else (0, 180)
    candidates = np.stack([_colour(rng, (0.5, 1.0), (0.55, 1.0), hue + rng.uniform(-spread, spread)) for _ in range(6)])
    distances = np.stack([np.linalg.norm(candidates - other, axis=1) for other in others])
    distances[0] = np.minimum(distances[0], 110)
    return candidates[distances.min(0).argmax()]


def _colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float], hue: float
) -> np.ndarray:
    """Return a colour as B, G, R in 0 to 255 from a hue in degrees and ranges of saturation and value in 0 to 1."""
    hsv = np.float32([[[hue % 360, rng.uniform(*saturation), rng.uniform(*value)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64) * 255
