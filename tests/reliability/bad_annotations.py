"""Annotation files that a training, or an evaluation, refuses: every field missing, null, of another type or value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .place import BadInput, Place, evaluate, train

NAN, INF = float('nan'), float('inf')
_SIZE = [64, 64]


def changed(change: Callable[[dict], Any], name: str = Place.INSTANCES) -> Callable[[Place], list]:
    """Train on a file of instances that was changed, or evaluate on it."""

    def prepare(place: Place) -> list:
        place.json(name, change)
        return train() if name == Place.INSTANCES else evaluate()

    return prepare


def field(records: str, key: str, value: Any, name: str = Place.INSTANCES) -> Callable[[Place], list]:
    """Set a field of the first record of a list."""
    return changed(lambda content: content[records][0].update({key: value}), name)


def without(records: str, key: str) -> Callable[[Place], list]:
    """Take a field away from the first record of a list."""
    return changed(lambda content: content[records][0].pop(key) and None)


def text(content: str | bytes) -> Callable[[Place], list]:
    """Write something else in the place of the file."""

    def prepare(place: Place) -> list:
        place.write(Place.INSTANCES, content)
        return train()

    return prepare


def _every(records: str, key: str, value: Callable[[dict], Any]) -> Callable[[Place], list]:
    def change(content: dict) -> None:
        for record in content[records]:
            record[key] = value(record)

    return changed(change)


def _twice(records: str, key: str) -> Callable[[Place], list]:
    return changed(lambda content: content[records][1].update({key: content[records][0][key]}))


FILES = [
    BadInput('annotations-empty', 'train', text(''), 'is not a whole JSON file'),
    BadInput('annotations-cut', 'train', text('{"images": [{"id": 1,'), 'is not a whole JSON file'),
    BadInput('annotations-no-json', 'train', text('<annotation></annotation>'), 'is not a whole JSON file'),
    BadInput('annotations-binary', 'train', text(bytes(range(256))), 'is not a whole JSON file'),
    BadInput('annotations-utf16', 'train', text('{"images": []}'.encode('utf-16')), 'is not a whole JSON file'),
    BadInput('annotations-nested', 'train', text('[' * 100_000), 'is not a whole JSON file'),
    BadInput('annotations-list', 'train', text('[]'), 'holds a list, not an object'),
    BadInput('annotations-null', 'train', text('null'), 'holds a NoneType, not an object'),
    BadInput('annotations-number', 'train', text('3'), 'holds a int, not an object'),
    BadInput('annotations-nothing', 'train', text('{}'), "has no 'images', only nothing"),
    *(
        BadInput(f'no-{key}', 'train', changed(lambda content, key=key: content.pop(key) and None), message)
        for key, message in (
            ('images', "has no 'images', only"),
            ('categories', "has no 'categories', only"),
            ('annotations', 'has 6 images but no annotations'),
        )
    ),
    *(
        BadInput(
            f'list-of-{key}-{name}', 'train', changed(lambda content, k=key, v=value: content.update({k: v})), message
        )
        for key in ('images', 'annotations', 'categories')
        for name, value, message in (
            ('null', None, f"'{key}' must be a list of objects"),
            ('object', {'a': 1}, f"'{key}' must be a list of objects"),
            ('of-numbers', [1, 2], f"'{key}' must be a list of objects"),
            ('empty', [], 'has no images|but no annotations|has no categories'),
        )
    ),
]

FIELDS = [
    *(
        BadInput(f'{records}-without-{key}', 'train', without(records, key), rf"{records}\[0\] has no '{key}'")
        for records, keys in (
            ('images', ('id', 'file_name', 'height', 'width')),
            ('annotations', ('id', 'image_id', 'category_id', 'bbox', 'area')),
            ('categories', ('id', 'name')),
        )
        for key in keys
    ),
    *(
        BadInput(f'{records}-{key}-{name}', 'train', field(records, key, value), f"'{key}' must be {message}")
        for records, key, name, value, message in (
            ('images', 'id', 'null', None, 'a whole number or a text'),
            ('images', 'id', 'list', [1], 'a whole number or a text'),
            ('images', 'file_name', 'null', None, 'a text'),
            ('images', 'file_name', 'number', 7, 'a text'),
            ('images', 'height', 'null', None, 'a number of pixels'),
            ('images', 'height', 'text', '64', 'a number of pixels'),
            ('images', 'height', 'zero', 0, 'a number of pixels, at least 1'),
            ('images', 'width', 'negative', -64, 'a number of pixels, at least 1'),
            ('images', 'width', 'nan', NAN, 'a number of pixels, at least 1'),
            ('images', 'width', 'huge', 10**400, 'a number of pixels, at least 1'),
            ('annotations', 'id', 'null', None, 'a whole number'),
            ('annotations', 'id', 'text', 'x', 'a whole number and not a text'),
            ('annotations', 'image_id', 'null', None, 'a whole number or a text'),
            ('annotations', 'category_id', 'null', None, 'a whole number'),
            ('annotations', 'category_id', 'text', '1', 'a whole number and not a text'),
            ('annotations', 'bbox', 'null', None, 'four numbers'),
            ('annotations', 'bbox', 'text', '1,2,3,4', 'four numbers'),
            ('annotations', 'bbox', 'of-three', [1, 2, 3], 'four numbers'),
            ('annotations', 'bbox', 'of-texts', ['1', '2', '3', '4'], 'four numbers'),
            ('annotations', 'bbox', 'nan', [1, 2, NAN, 4], 'four numbers'),
            ('annotations', 'bbox', 'infinite', [1, 2, INF, 4], 'four numbers'),
            ('annotations', 'bbox', 'with-null', [1, 2, None, 4], 'four numbers'),
            ('annotations', 'bbox', 'huge', [1, 2, 10**400, 4], 'four numbers'),
            ('annotations', 'area', 'null', None, 'a number of pixels'),
            ('annotations', 'area', 'nan', NAN, 'a number of pixels'),
            ('annotations', 'iscrowd', 'text', '0', '0 or 1'),
            ('annotations', 'iscrowd', 'null', None, '0 or 1'),
            ('annotations', 'iscrowd', 'two', 2, '0 or 1'),
            ('annotations', 'iscrowd', 'nan', NAN, '0 or 1'),
            ('categories', 'id', 'null', None, 'a whole number'),
            ('categories', 'id', 'text', '1', 'a whole number and not a text'),
            ('categories', 'name', 'null', None, 'a text'),
            ('categories', 'name', 'number', 1, 'a text'),
        )
    ),
    BadInput('bbox-far', 'train', field('annotations', 'bbox', [1e9, 1e9, 5, 5]), 'lie far out'),
    BadInput('bbox-1e300', 'train', field('annotations', 'bbox', [0, 0, 1e300, 1e300]), 'lie far out'),
    BadInput('bbox-negative', 'train', _every('annotations', 'bbox', lambda _: [9, 9, -5, -5]), 'none is left'),
    BadInput('area-zero', 'train', _every('annotations', 'area', lambda _: 0), "the 'area' of all is 0"),
    BadInput('all-crowd', 'train', _every('annotations', 'iscrowd', lambda _: 1), "marked 'iscrowd'"),
    BadInput('boxes-of-corners', 'train', _every('annotations', 'bbox', lambda _: [40, 40, 60, 60]), 'like corners'),
    BadInput('boxes-relative', 'train', _every('annotations', 'bbox', lambda _: [0.1, 0.1, 0.3, 0.3]), 'parts of the'),
    BadInput('same-image-ids', 'train', _twice('images', 'id'), 'several images share the ids'),
    BadInput('same-annotation-ids', 'train', _twice('annotations', 'id'), 'several annotations share the ids'),
    BadInput('same-category-ids', 'train', _twice('categories', 'id'), 'several categories share the ids'),
    BadInput('same-category-names', 'train', _twice('categories', 'name'), 'metainfo.classes|several|twice'),
    BadInput('unknown-category', 'train', field('annotations', 'category_id', 99), 'use the category ids 99'),
    BadInput('unknown-image', 'train', field('annotations', 'image_id', 99), 'an image_id that no image has'),
    BadInput('other-classes', 'train', _every('categories', 'name', lambda item: item['name'].upper()), "'CIRCLE'"),
    BadInput('classes-of-unicode', 'train', field('categories', 'name', 'circlé\u202e'), 'circlé'),
    BadInput('sizes-swapped', 'train', _every('images', 'width', lambda _: 640), 'another size|far out|640'),
    BadInput('file-name-absent', 'train', field('images', 'file_name', 'none.png'), r'none\.png'),
    BadInput('file-name-empty', 'train', field('images', 'file_name', ''), "not in .*, '' for one"),
    BadInput('file-name-newline', 'train', field('images', 'file_name', 'a\nb.png'), r'a.*b\.png'),
    BadInput('file-name-nul', 'train', field('images', 'file_name', 'a\0b.png'), r'b\.png'),
    BadInput('file-name-long', 'train', field('images', 'file_name', 'x' * 5000), 'xxx'),
    BadInput('file-name-above', 'train', field('images', 'file_name', '../../../x.png'), 'leads out of'),
    BadInput('file-name-absolute', 'train', field('images', 'file_name', '/etc/hostname'), 'leads out of'),
    BadInput('file-name-of-windows', 'train', field('images', 'file_name', '..\\..\\x.png'), 'leads out of|are not in'),
    BadInput('file-name-address', 'train', field('images', 'file_name', 'http://127.0.0.1:9/x.png'), 'are not in'),
    BadInput(
        'file-name-above-in-test',
        'test',
        field('images', 'file_name', '../../../../x', Place.VALIDATION),
        'leads out of',
    ),
]

MASKS = [
    ('nan', [[1, 2, 30, 2, 30, NAN]], 'not finite numbers'),
    ('infinite', [[1, 2, 30, 2, 30, INF]], 'not finite numbers'),
    ('null', [[1, 2, 30, 2, 30, None]], 'not finite numbers'),
    ('texts', [['1', '2', '30', '2', '30', '40']], 'not finite numbers'),
    ('nested', [[[1, 2], [30, 2], [30, 40]]], 'not finite numbers'),
    ('1e9', [[1, 2, 1e9, 2, 30, 40]], 'far out of its image'),
    ('minus-1e9', [[1, 2, -1e9, 2, 30, 40]], 'far out of its image'),
    ('1e300', [[1, 2, 1e300, 2, 30, 40]], 'far out of its image|not finite'),
    ('10**400', [[1, 2, 10**400, 2, 30, 40]], 'not finite numbers'),
    ('part-1e9', [[1, 2, 30, 2, 30, 40], [1, 2, 1e9, 2, 30, 40]], 'far out of its image'),
    ('short-part-nan', [[1, 2, 30, 2, 30, 40], [NAN, 2]], 'not finite numbers'),
    ('short-part-1e9', [[1, 2, 30, 2, 30, 40], [1e9, 2, -1e9, 3]], 'far out of its image|fewer than three points'),
    ('of-0', [[]], 'no polygon of three points'),
    ('of-2', [[1, 2]], 'no polygon of three points'),
    ('of-3', [[1, 2, 3]], 'no polygon of three points'),
    ('of-4', [[1, 2, 30, 40]], 'no polygon of three points'),
    ('odd', [[1, 2, 30, 2, 30, 40, 5]], 'no polygon of three points'),
    ('flat', [1, 2, 30, 2, 30, 40], 'is a list of numbers'),
    ('text', 'polygon', 'neither a list of polygons'),
    ('number', 5, 'neither a list of polygons'),
    ('flag', True, 'neither a list of polygons'),
    ('rle-huge', {'size': [200_000, 200_000], 'counts': [4 * 10**10]}, 'size is not'),
    ('rle-huge-compressed', {'size': [200_000, 200_000], 'counts': 'PPYo1'}, 'size is not'),
    ('rle-large', {'size': [30_000, 30_000], 'counts': [9 * 10**8]}, 'an RLE of 30000x30000 pixels'),
    ('rle-other-size', {'size': [64, 32], 'counts': [1, 2046, 1]}, 'an RLE of 32x64 pixels'),
    ('rle-empty-size', {'size': [0, 64], 'counts': [1]}, 'size is not'),
    ('rle-negative-size', {'size': [-64, -64], 'counts': [4096]}, 'size is not'),
    ('rle-size-of-texts', {'size': ['64', '64'], 'counts': [4096]}, 'size is not'),
    ('rle-size-of-floats', {'size': [64.5, 64.0], 'counts': [4096]}, 'size is not'),
    ('rle-size-null', {'size': None, 'counts': [4096]}, 'size is not'),
    ('rle-size-of-three', {'size': [64, 64, 3], 'counts': [4096]}, 'size is not'),
    ('rle-no-size', {'counts': [4096]}, 'size is not'),
    ('rle-no-counts', {'size': _SIZE}, 'counts are not'),
    ('rle-null-counts', {'size': _SIZE, 'counts': None}, 'counts are not'),
    ('rle-too-long', {'size': _SIZE, 'counts': [1, 4096]}, 'counts are not'),
    ('rle-too-short', {'size': _SIZE, 'counts': [1, 7]}, 'fewer pixels than its size'),
    ('rle-negative', {'size': _SIZE, 'counts': [-1, 4097]}, 'counts are not'),
    ('rle-huge-run', {'size': _SIZE, 'counts': [2**40]}, 'counts are not'),
    ('rle-wraps', {'size': _SIZE, 'counts': [2**32, 4096]}, 'counts are not'),
    ('rle-floats', {'size': _SIZE, 'counts': [0.5, 4095.5]}, 'counts are not'),
    ('rle-of-texts', {'size': _SIZE, 'counts': ['4096']}, 'counts are not'),
    ('rle-empty-text', {'size': _SIZE, 'counts': ''}, 'counts are not'),
    ('rle-junk', {'size': _SIZE, 'counts': 'hello, world'}, 'counts are not'),
    ('rle-unicode', {'size': _SIZE, 'counts': '€€'}, 'counts are not'),
    ('rle-unfinished', {'size': _SIZE, 'counts': 'PPPP'}, 'counts are not'),
    ('rle-overflow', {'size': _SIZE, 'counts': 'oooooooooooooooooooo0'}, 'counts are not'),
    ('rle-in-list', [{'size': _SIZE, 'counts': [4096]}], 'RLE inside a list'),
]

BAD_ANNOTATIONS = [
    *FILES,
    *FIELDS,
    *(
        BadInput(f'mask-{name}', 'train', field('annotations', 'segmentation', mask), line)
        for name, mask, line in MASKS
    ),
    *(
        BadInput(f'mask-{name}', 'test', field('annotations', 'segmentation', mask, Place.VALIDATION), line)
        for name, mask, line in MASKS
        if name in ('nan', '1e9', 'of-2', 'rle-huge', 'rle-junk', 'rle-other-size', 'text')
    ),
    BadInput(
        'scored-without-masks',
        'test',
        changed(
            lambda content: [item.pop('segmentation') for item in content['annotations']] and None, Place.VALIDATION
        ),
        'masks',
    ),
    BadInput(
        'scored-without-iscrowd',
        'test',
        changed(lambda content: content['annotations'][0].pop('iscrowd') * 0 or None, Place.VALIDATION),
        "have no 'iscrowd'",
    ),
    BadInput('scored-against-no-json', 'test', lambda place: _scored_against(place, 'x'), 'is not a whole JSON file'),
    BadInput('scored-against-others', 'test', lambda place: _scored_against(place, None), 'other|lacks|is about'),
]


def _scored_against(place: Place, content: str | None) -> list:
    other = place.write('other.json', content or (place / Place.INSTANCES).read_text())
    if content is None:
        place.json('other.json', lambda file: {**file, 'images': file['images'][:1], 'annotations': []})
    return evaluate(f'test_evaluator.ann_file={other.name}')
