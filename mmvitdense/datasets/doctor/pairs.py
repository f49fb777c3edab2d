"""Which image belongs to which label map, by the names of files and folders."""

from __future__ import annotations

import os.path as osp
import re
from collections import defaultdict
from collections.abc import Sequence

from .files import MASK_WORDS, Files, plain, speaks_of_masks, split_of, words_of

_MAP_END = re.compile(
    r'[\W_]*(?:(?<![a-z0-9])(?:l|m)|_l|masks?|labels?|gt|seg|segmentation|annotations?|annot|ground_?truth|'
    r'(?:gtfine_)?(?:labeltrainids|labelids)|truth|trainids|colou?r)\d?$'
)
_MAP_START = re.compile(r'^(?:masks?|labels?|gt|seg|ann?)[\W_]+')
_IMAGE_END = re.compile(r'[\W_]+(?:leftimg8bit|image|img|sat|rgb|photo)$')
_IMAGE_START = re.compile(r'^(?:images?|img|photo|rgb)[\W_]+')
_OTHER_MAPS = (
    'panoptic',
    'instance',
    'instances',
    'instanceids',
    'segmentationobject',
    'polygons',
    'depth',
    'disparity',
)
_LOSSLESS = ('.png', '.bmp', '.tif', '.tiff', '.gif')


def find_pairs(files: Files) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Pair images with label maps.

    Returns:
        (image, map) of all pairs; images without a map; maps without an image.
    """
    maps, images = _divide(files)
    by_key: dict[str, list[str]] = defaultdict(list)
    for path in maps:
        by_key[_key(path, _MAP_START, _MAP_END)].append(path)
    pairs, bare, used = [], [], set()
    for image in images:
        stem = plain(osp.splitext(osp.basename(image))[0])
        candidates = by_key.get(stem) or by_key.get(_key(image, _IMAGE_START, _IMAGE_END)) or []
        candidates = [path for path in candidates if files.split(path) in (files.split(image), '')] or (
            candidates if not files.split(image) else []
        )
        if not candidates:
            bare.append(image)
            continue
        chosen = max(candidates, key=lambda path: _alike(files.relative(image), files.relative(path)))
        used.add(chosen)
        pairs.append((image, chosen))
    return pairs, bare, [path for path in maps if path not in used]


def _divide(files: Files) -> tuple[list[str], list[str]]:
    """The label maps and the images among all pictures."""
    if not files.images:
        return [], []
    common = osp.commonpath([osp.dirname(path) for path in files.images])
    inner = {path: osp.relpath(path, common).replace('\\', '/') for path in files.images}
    chosen = [path for path in files.images if not _is_other(inner[path])]
    maps = [path for path in chosen if speaks_of_masks(osp.dirname(inner[path]))]
    if maps and len(maps) < len(chosen):
        # images/train beside labels/train, but also train/images beside train/labels
        return _without_previews(maps), [path for path in chosen if path not in set(maps)]
    maps = [path for path in chosen if _says_map(path)]
    if maps:
        return maps, [path for path in chosen if path not in set(maps)]
    return _by_suffix(chosen)


def _without_previews(maps: list[str]) -> list[str]:
    """Without the coloured twin of a map, where Cityscapes and others have both."""
    plain_ones = [path for path in maps if not re.search(r'(?i)[_-]colou?r$', osp.splitext(path)[0])]
    return plain_ones or maps


def _by_suffix(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Photographs as .jpg beside maps of the same names as .png."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_stem[plain(osp.splitext(osp.relpath(path, osp.commonpath(paths)) if len(paths) > 1 else path)[0])].append(
            path
        )
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_name[plain(osp.splitext(osp.basename(path))[0])].append(path)
    groups = [group for group in by_name.values() if len(group) == 2]
    maps = []
    for group in groups:
        lossless = [path for path in group if osp.splitext(path)[1].lower() in _LOSSLESS]
        if len(lossless) == 1:
            maps.append(lossless[0])
    known = set(maps)
    return maps, [path for path in paths if path not in known] if maps else []


def _is_other(relative: str) -> bool:
    """Whether a picture is of instances, of panoptic segments or of depth."""
    return any(word in _OTHER_MAPS for word in words_of(relative))


def _says_map(path: str) -> bool:
    stem = plain(osp.splitext(osp.basename(path))[0])
    if osp.splitext(path)[1].lower() not in _LOSSLESS:
        return False
    words = words_of(stem)
    return bool(words) and (words[-1] in MASK_WORDS or words[0] in ('mask', 'label', 'gt', 'seg'))


def _key(path: str, start: re.Pattern, end: re.Pattern) -> str:
    stem = plain(osp.splitext(osp.basename(path))[0])
    return start.sub('', end.sub('', stem)) or stem


def _alike(one: str, other: str) -> tuple[bool, bool, int, int]:
    """How well the folders of two paths fit: the same split, the same innermost folders, the same outermost ones."""
    first, second = ([plain(part) for part in path.split('/')[:-1]] for path in (one, other))
    tail = 0
    while tail < min(len(first), len(second)) and first[-1 - tail] == second[-1 - tail]:
        tail += 1
    head = 0
    while head < min(len(first), len(second)) and first[head] == second[head]:
        head += 1
    preferred = 'semantic' in words_of(other)
    return split_of(one) == split_of(other), preferred, tail, head
