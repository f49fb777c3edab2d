"""What was found in a data set of any format, as checks, reports and converters read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..checks.coco_file import CocoFile
from .label_table import LabelTable
from .problems import Problems


@dataclass
class Split:
    """A part of a data set.

    Attributes:
        name: 'train', 'val', 'test', or '' where the data is not split.
        images: The path of each of N images, '' for one that is not there.
        names: What each is called in a converted data set: a relative path with slashes.
        origin: The file or folder that lists them, for messages.
        file: Objects, or segments of panoptic data; None of label maps.
        content: Gives the 'annotations' of a COCO file: all of them, or those of images of these ids.
        maps: Paths of the label maps, one an image; '' where there is none.
        segments: Folder of the pictures of panoptic segments.
        pictures: The name of the picture of each image there.
        keep: Which images are whole and wanted, N bool.
        keep_objects: Which annotations of `file` are, bool.
        sizes: (width, height) of each image with a label map, N x 2.
        censuses: Of each label map, how many pixels have which value or colour.
    """

    name: str
    images: list[str]
    names: list[str]
    origin: str
    file: CocoFile | None = None
    content: Callable[[set | None], list[dict]] | None = None
    maps: list[str] = field(default_factory=list)
    segments: str | None = None
    pictures: list[str] = field(default_factory=list)
    keep: np.ndarray | None = None
    keep_objects: np.ndarray | None = None
    sizes: np.ndarray | None = None
    censuses: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.keep is None:
            self.keep = np.array([bool(path) for path in self.images], dtype=bool)
        if self.file is not None and self.keep_objects is None:
            self.keep_objects = np.ones(len(self.file.boxes), dtype=bool)

    @property
    def title(self) -> str:
        """What the split is called on the screen."""
        return self.name or 'not split'


@dataclass
class Found:
    """A data set.

    Attributes:
        format: What it is, in words, such as 'Pascal VOC'.
        root: The folder or file that was given.
        classes: Names in the order of the numbers of the classes.
        splits: Its parts.
        problems: What is wrong with it.
        notes: What was taken for granted, a sentence each.
        table: What the values of label maps mean; None where there are no maps.
        things: How many of the classes are things: of panoptic data, whose things come first.
        others: Other formats that were recognised in the same place.
    """

    format: str
    root: str
    classes: tuple[str, ...]
    splits: list[Split]
    problems: Problems
    notes: list[str] = field(default_factory=list)
    table: LabelTable | None = None
    things: int | None = None
    others: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What can be learnt from it, the usual one first: 'semantic', 'panoptic', 'instance', 'detection'."""
        if self.table is not None:
            return ('semantic',)
        if self.things is not None:
            return ('panoptic',)
        return ('instance', 'detection') if self.has_masks else ('detection',)

    @property
    def has_masks(self) -> bool:
        """Whether every object that counts has an outline."""
        files = [(split.file, split.keep_objects) for split in self.splits if split.file is not None]
        return bool(files) and all((file.masks[keep & ~file.crowd] != 0).all() for file, keep in files)

    @property
    def labelled(self) -> list[Split]:
        """The splits that have objects or label maps."""
        return [split for split in self.splits if any(split.maps) or (split.file is not None and len(split.file.boxes))]
