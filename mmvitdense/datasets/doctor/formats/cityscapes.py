"""Cityscapes: leftImg8bit and gtFine, with 19 classes of 35 labels."""

from __future__ import annotations

from ..files import Files
from ..found import Found
from ..label_table import IGNORED, LabelTable
from ..pairs import find_pairs
from .contract import DataFormat, Options
from .label_maps import read_pairs

# labels.py of mcordts/cityscapesScripts: the labels that are trained, in the order of their trainId.
_TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_ALL = 35
_ENDS = ('_labelTrainIds.png', '_labelIds.png')


def matches(files: Files) -> list[str]:
    """Maps with the ends of Cityscapes' names."""
    return [path for path in files.images if path.endswith(_ENDS)]


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read maps of training numbers where they were made, else of the numbers of labels."""
    from mmseg.datasets import CityscapesDataset

    end = next(end for end in _ENDS if any(path.endswith(end) for path in paths))
    pairs, bare, strays = find_pairs(_Without(files, {path for path in paths if not path.endswith(end)}))
    names = tuple(CityscapesDataset.METAINFO['classes'])
    trained = range(len(_TRAINED)) if end == _ENDS[0] else _TRAINED
    values = dict.fromkeys(range(256), IGNORED) if end == _ENDS[0] else dict.fromkeys(range(-1, _ALL), IGNORED)
    values |= {value: number for number, value in enumerate(trained)}
    return read_pairs(files, 'Cityscapes', pairs, bare, strays, lambda *_: LabelTable(names, values))


class _Without:
    """The same files without the maps of the other kind."""

    def __init__(self, files: Files, left_out: set[str]):
        self.images = [path for path in files.images if path not in left_out]
        self.relative, self.split = files.relative, files.split
        self.all = files.all


FORMAT = DataFormat('cityscapes', 'Cityscapes', matches, read, ('semantic',))
