"""What the label maps of a segmentation data set hold: which values, and in which file."""

from __future__ import annotations

import os.path as osp
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from .image_files import image_size
from .messages import DataError
from .paths import evenly_spaced
from .source import DataSource, type_name

MAX_SECONDS = 10.0
IGNORED = 255
"""What mmseg's LoadAnnotations writes where a label stands for no class."""


@dataclass
class LabelMaps:
    """The label maps of one data set, some or all of which were looked at.

    Attributes:
        source: The data set.
        pairs: (image, label map) paths of all of them.
        loaded: Whether the pipeline loads label maps; where it does not, the paths of the maps are empty.
        reduce_zero: Whether the data set takes 0 for unlabelled and subtracts one from the others.
        classes: Class names of the data set, None if nothing names them.
        file_classes: Names of the classes whose numbers the files hold: more than `classes` where metainfo selects.
        number: How many classes the loaded maps have: those named, else those that the heads predict.
        counts: For each value 0 to 255 of the files, in how many maps it occurs.
        examples: A file for each value that occurs.
        looked: How many maps were looked at.
        replaceable: Whether images that cannot be read are no error here, as training replaces them.
    """

    source: DataSource
    pairs: list[tuple[str, str]]
    loaded: bool = True
    reduce_zero: bool = False
    classes: tuple[str, ...] | None = None
    file_classes: tuple[str, ...] | None = None
    number: int = 256
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    examples: dict[int, str] = field(default_factory=dict)
    looked: int = 0
    replaceable: bool = False

    @property
    def content(self) -> str:
        """What there is, for the log."""
        return f'{len(self.pairs)} images, ' + (f'{self.seen}, ' * self.loaded) + f'{len(self.classes or ())} classes'

    @property
    def seen(self) -> str:
        """How many were looked at, for messages."""
        return f'{self.looked} of {len(self.pairs)} label maps looked at'

    @property
    def complete(self) -> bool:
        """Whether all were looked at."""
        return self.looked == len(self.pairs)

    def look(self, limit: int, seconds: float = MAX_SECONDS) -> None:
        """Look at `limit` maps, evenly spread over all of them, until the time is up."""
        sample = evenly_spaced(self.pairs, limit)
        # In random order, what was seen when time is up is still spread over all of them.
        random.Random(0).shuffle(sample)
        with_images = any(self.source.loads(name) is not None for name in ('LoadImageFromFile', 'LoadBands'))
        self.counts, self.examples, self.looked = np.zeros(256, np.int64), {}, 0
        started = time.monotonic()
        for image, label_map in sample:
            self._add(image if with_images else None, label_map)
            if time.monotonic() - started > seconds:
                break

    def as_loaded(self, values: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return what mmseg's LoadAnnotations makes of values of the files; classes not selected become 255."""
        values = np.asarray(values, np.int64)
        if self.reduce_zero:
            values = np.where((values == 0) | (values == IGNORED), IGNORED, values - 1)
        if self.classes is None or self.file_classes in (None, self.classes):
            return values
        selected = {name: index for index, name in enumerate(self.classes)}
        table = np.arange(256)
        table[: len(self.file_classes)] = [selected.get(name, IGNORED) for name in self.file_classes]
        return table[values]

    def labels(self) -> set[int]:
        """Return the labels that occur once the maps are loaded."""
        return set(self.as_loaded(np.flatnonzero(self.counts)).tolist())

    def _add(self, image: str | None, label_map: str) -> None:
        values = _values(label_map, self.source)
        size = values.shape[::-1]
        of_image = self._size_of(image) if image is not None else None
        if of_image is not None and of_image != size:
            raise DataError(
                f'{self.source.key}: {image} has {of_image[0]}x{of_image[1]} pixels and its label map {label_map} '
                f'{size[0]}x{size[1]}: make them equal (resize maps without interpolation, nearest neighbour).'
            )
        present = np.bincount(values.ravel(), minlength=256) > 0
        for value in np.flatnonzero(present):
            self.examples.setdefault(int(value), label_map)
        self.counts += present
        self.looked += 1

    def _size_of(self, image: str) -> tuple[int, int] | None:
        try:
            return image_size(image, self.source.key, self.source.loads('LoadBands'))
        except DataError:
            if self.replaceable:
                return None
            raise


def read_label_map(path: str, key: str) -> tuple[str, np.ndarray]:
    """Read the pixels of a label map as they are stored, and Pillow's name of their kind.

    Args:
        path: The file.
        key: What is read, for the message.

    Raises:
        DataError: It cannot be read.
    """
    try:
        if not osp.isfile(path):  # a pipe has no end
            raise OSError('it is no file')
        with Image.open(path) as image:
            return image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'{key}: {path} cannot be read as a label map ({error}): replace it.') from None


def _values(path: str, source: DataSource) -> np.ndarray:
    """Read a label map as mmseg does: H x W, uint8."""
    mode, values = read_label_map(path, source.key)
    if values.ndim != 2:
        raise DataError(
            f'{source.key}: {path} is a colour picture ({mode}); the pixels of a label map are class numbers: convert '
            'it to an 8-bit picture of one channel.'
        )
    if mode == 'P' and (key := _reader_of_colours(source)) is not None:
        raise DataError(
            f'{source.key}: {path} holds class numbers with a palette, of which only the reader pillow gives the '
            f'numbers: set --cfg-options {key}.imdecode_backend=pillow'
        )
    if values.dtype.kind == 'f' and (values != np.round(values)).any():
        raise DataError(
            f'{source.key}: {path} holds numbers with fractions ({mode}); the pixels of a label map are class numbers: '
            'convert it to an 8-bit picture of one channel.'
        )
    if values.dtype != np.uint8 and values.dtype != bool and (values.min() < 0 or values.max() > IGNORED):
        raise DataError(
            f'{source.key}: {path} holds the label value {values.max()}, and mmseg reads labels as 8-bit numbers: '
            'renumber the labels from 0 to 254, 255 is ignored.'
        )
    return values.astype(np.uint8)


def _reader_of_colours(source: DataSource) -> str | None:
    """Return the key of a LoadAnnotations that reads with something else than pillow, or None."""
    for key, transform in source.keyed_transforms():
        if type_name(transform) == 'LoadAnnotations':
            return key if transform.get('imdecode_backend', 'pillow') != 'pillow' else None
    return None
