"""The files below the folders of a data set, found by whatever annotations call them."""

from __future__ import annotations

import os
import os.path as osp
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PureWindowsPath

from ..checks.messages import DataError
from ..image_folder import SUFFIXES

SPLITS = ('train', 'val', 'test')
_SPLIT_NAMES = {
    'train': ('train', 'training', 'trn', 'trainval'),
    'val': ('val', 'valid', 'validation', 'dev', 'eval'),
    'test': ('test', 'testing', 'tst'),
}
_SPLIT_OF = {name: split for split, names in _SPLIT_NAMES.items() for name in names}
MASK_WORDS = (
    *('mask', 'masks', 'annotation', 'annotations', 'annot', 'ann', 'anno', 'label', 'labels', 'seg', 'segmentation'),
    *(
        'segmentations',
        'gt',
        'gtfine',
        'groundtruth',
        'truth',
        'segmentationclass',
        'segmentationobject',
        'gts',
        'maps',
    ),
    *(
        'segmentationclassraw',
        'trainannot',
        'valannot',
        'testannot',
        'labelids',
        'semantic',
        'target',
        'targets',
        'map',
    ),
    *('panoptic', 'segmap', 'segmaps', 'labelmap', 'labelmaps'),
)
"""Words in names of folders and files of label maps."""
_NOT_DATA = ('__MACOSX', '__pycache__', 'node_modules')


def split_of(path: str) -> str:
    """The split that a relative path speaks of, '' if none: `images/train2017/a.jpg`, `instances_val.json`.

    Of several names the one nearest to the root counts for folders (`train/test_field/a.jpg` is of train), and the
    last one of a file's own name.
    """
    *folders, name = path.replace('\\', '/').split('/')
    for folder in folders:
        if found := _splits_in(folder):
            return found[-1]
    found = _splits_in(osp.splitext(name)[0])
    return found[-1] if found else ''


def _splits_in(text: str) -> list[str]:
    # 'trainval' is both, 'train2017' the year; a name that merely begins so ('trainers') is none.
    words = re.findall(r'[a-z]+', text.replace('-', '_').lower())
    return [_SPLIT_OF[word] for word in words if word in _SPLIT_OF]


def plain(name: str) -> str:
    """A name as it is compared: composed letters, no difference of case."""
    return unicodedata.normalize('NFC', name).casefold()


def words_of(text: str) -> list[str]:
    """The words of a name in small letters: `SegmentationClass` is one, `train_masks` two."""
    return re.findall(r'[a-z]+', text.lower())


def speaks_of_masks(folders: str) -> bool:
    """Whether one of the folders of a path is called like one of label maps."""
    return any(word in MASK_WORDS for word in words_of(folders))


class Files:
    """All files below some folders, hidden ones left out.

    Args:
        paths: Folders, and files that are looked at alone; images are looked for beside these.

    Attributes:
        given: The files that were given by themselves.
        all: Absolute paths, sorted.
        images: Those that have the suffix of an image.
    """

    def __init__(self, paths: Sequence[str]):
        self.given = [osp.abspath(path) for path in paths if osp.isfile(path)]
        folders = [osp.abspath(path) for path in paths if osp.isdir(path)]
        if missing := [path for path in paths if not osp.exists(path)]:
            raise DataError(f'There is no file or folder {missing[0]} ({osp.abspath(missing[0])}): give one with data.')
        self.roots = _outermost(folders or [osp.dirname(path) for path in self.given])
        self.all = sorted({path for root in self.roots for path in _walk(root)} | set(self.given))
        self.images = [path for path in self.all if osp.splitext(path)[1].lower() in SUFFIXES]
        self._of_name: dict[str, list[str]] = defaultdict(list)
        self._of_stem: dict[str, list[str]] = defaultdict(list)
        for path in self.images:
            name = plain(osp.basename(path))
            self._of_name[name].append(path)
            self._of_stem[osp.splitext(name)[0]].append(path)

    @property
    def name(self) -> str:
        """What was given, for messages."""
        return self.given[0] if len(self.given) == 1 else self.roots[0]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files with one of these suffixes, given in small letters; those that were given by themselves alone."""
        chosen = [path for path in self.given if osp.splitext(path)[1].lower() in suffixes]
        return chosen or [path for path in self.all if osp.splitext(path)[1].lower() in suffixes]

    def relative(self, path: str) -> str:
        """A path relative to the folder that was given, with slashes."""
        root = next((root for root in self.roots if path.startswith(osp.join(root, ''))), osp.dirname(path))
        return osp.relpath(path, root).replace(os.sep, '/')

    def split(self, path: str) -> str:
        """The split that a path below the given folder speaks of."""
        return split_of(self.relative(path))

    def image(self, name: str, near: str, split: str = '') -> str | None:
        """The image that an annotation calls so, None if there is none.

        Args:
            name: A path of whatever machine, or a mere name.
            near: The annotation file: of several images of a name, one whose folders are called as in `name` comes
                first, then one of the split, then one near to this file.
            split: The split of the annotation.
        """
        parts = [part for part in PureWindowsPath(name.strip()).parts if part not in ('.', '..')]
        if not parts:
            return None
        candidates = self._of_name.get(plain(parts[-1]), [])
        return self._best(candidates, [plain(part) for part in parts[:-1]], near, split)

    def image_of_stem(self, stem: str, near: str, split: str = '') -> str | None:
        """The image with this name but for the suffix."""
        return self._best(self._of_stem.get(plain(stem), []), [], near, split)

    def _best(self, candidates: list[str], folders: list[str], near: str, split: str) -> str | None:
        if len(candidates) < 2:
            return candidates[0] if candidates else None

        def fit(path: str) -> tuple[bool, int, int, int]:
            own = [plain(part) for part in self.relative(path).split('/')[:-1]]
            alike = 0
            while alike < min(len(own), len(folders)) and own[-1 - alike] == folders[-1 - alike]:
                alike += 1
            common = len(osp.commonpath([osp.dirname(path), osp.dirname(near)]))
            return not speaks_of_masks('/'.join(own)), alike, int(bool(split) and self.split(path) == split), common

        return max(candidates, key=fit)


def _outermost(folders: list[str]) -> list[str]:
    chosen: list[str] = []
    for folder in sorted(set(folders)):
        if not any(folder.startswith(osp.join(root, '')) for root in chosen):
            chosen.append(folder)
    return chosen


def _walk(root: str) -> list[str]:
    found, seen = [], set()
    for place, folders, names in os.walk(root, followlinks=True):
        # A link to a folder above would be followed for ever.
        real = osp.realpath(place)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith('.') and name not in _NOT_DATA]
        found += [osp.join(place, name) for name in names if not name.startswith('.')]
    return found
