"""A COCO annotation file, read into columns that are cheap to check.

A file may hold a million annotations: masks are judged and dropped while the file is parsed, and what remains of it is
freed before the data set reads the file itself.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from .coco_masks import NO_MASK, MaskReader
from .coco_values import check_ids, check_texts, flags, numbers
from .messages import DataError


@dataclass(frozen=True)
class CocoFile:
    """The contents of a COCO file as mmdet sees them.

    Attributes:
        path: Where it was read.
        categories: The categories as they stand in the file.
        image_ids, file_names, sizes: The images; sizes as N x 2 (width, height).
        annotation_ids: The ids of M annotations; in a panoptic file, of M segments, which need not be unique.
        image_index, category_index: M each, int64; which image and category an annotation belongs to, -1 if the file
            has no such image or category.
        unknown_images, unknown_categories: The ids that annotations use and nothing defines, in the order of use.
        boxes: M x 4 as in the file, (x, y, width, height) in pixels.
        areas: M.
        crowd, ignored: M each, bool.
        has_crowd_flag: M each, bool: whether an annotation says if it is a crowd.
        masks: M, one of NO_MASK, POLYGON, RLE, BROKEN_MASK.
        mask_numbers: M x 4; of a polygon x and y at least and at most, of an RLE height and width.
        mask_faults: {index of an annotation: what is wrong with its mask}.
        panoptic: Whether the annotations are the segments of a panoptic file.
    """

    path: str
    categories: list[dict]
    image_ids: list
    file_names: list[str]
    sizes: np.ndarray
    annotation_ids: list
    image_index: np.ndarray
    category_index: np.ndarray
    unknown_images: list
    unknown_categories: list
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    has_crowd_flag: np.ndarray
    masks: np.ndarray
    mask_numbers: np.ndarray
    mask_faults: dict[int, str]
    panoptic: bool

    def of_classes(self, classes: Collection[str]) -> np.ndarray:
        """Return which annotations are of these classes, M bool."""
        chosen = [item['name'] in set(classes) for item in self.categories]
        # Annotations of no category have the index -1: the last.
        return np.array([*chosen, False], dtype=bool)[self.category_index]

    def describe(self, index: int) -> str:
        """Return `annotation 17 (cat.jpg)`: the id of an annotation and the file of its image."""
        return f'annotation {self.annotation_ids[index]} ({self.file_names[self.image_index[index]]})'

    def usable(self) -> np.ndarray:
        """Return which annotations mmdet keeps, M bool: a box of at least one pixel each way that touches the image."""
        x, y, width, height = self.boxes.T
        image_width, image_height = self.sizes[self.image_index].T
        inside = (np.minimum(x + width, image_width) > np.maximum(x, 0)) & (
            np.minimum(y + height, image_height) > np.maximum(y, 0)
        )
        return inside & (width >= 1) & (height >= 1) & (self.areas > 0) & ~self.ignored & (self.image_index >= 0)


def read_coco(path: str) -> CocoFile:
    """Read a COCO instances or panoptic file.

    Raises:
        DataError: If it is not JSON, or not the structure that mmdet needs.
    """
    with _no_garbage_collection():
        reader = MaskReader()
        data = _parse(path, reader)
        return _whole_file(path, data, reader)


def coco_file(path: str, data: dict) -> CocoFile:
    """Judge the content of a COCO file that was made in memory, which stays as it is.

    Args:
        path: What messages call it.
        data: As `json.load` would return it.

    Raises:
        DataError: As for `read_coco`.
    """
    reader = MaskReader()
    annotations = [
        {**item, 'segmentation': reader.add(item['segmentation'])} if 'segmentation' in item else item
        for item in data['annotations']
    ]
    return _whole_file(path, {**data, 'annotations': annotations}, reader)


def _whole_file(path: str, data: dict, reader: MaskReader) -> CocoFile:
    reader.finish()
    _name_files_of_lvis(data)
    images = _records(data, 'images', ('id', 'file_name', 'height', 'width'), path)
    if not images:
        raise DataError(f"{path} has no images: its list 'images' is empty, so give a file that names some.")
    categories = _records(data, 'categories', ('id', 'name'), path)
    if not categories:
        raise DataError(f"{path} has no categories: its list 'categories' must name each class with an id.")
    annotations, panoptic = _flat_annotations(data, path)
    _check_values(path, images, categories, annotations)
    return _columns(path, images, categories, annotations, panoptic, reader)


def _name_files_of_lvis(data: dict) -> None:
    """Images of LVIS have an address in the place of a name; mmdet makes the name of it so."""
    for image in data['images'] if isinstance(data.get('images'), list) else ():
        if isinstance(image, dict) and 'file_name' not in image and isinstance(image.get('coco_url'), str):
            image['file_name'] = image['coco_url'].replace('http://images.cocodataset.org/', '')


def _check_values(path: str, images: list, categories: list, annotations: list) -> None:
    check_ids(images, 'id', 'images', path, text=True)
    check_ids(categories, 'id', 'categories', path)
    check_ids(annotations, 'id', 'annotations', path)
    check_ids(annotations, 'image_id', 'annotations', path, text=True)
    check_ids(annotations, 'category_id', 'annotations', path)
    check_texts(images, 'file_name', 'images', path)
    check_texts(categories, 'name', 'categories', path)


def _columns(
    path: str, images: list, categories: list, annotations: list, panoptic: bool, reader: MaskReader
) -> CocoFile:
    image_ids = [image['id'] for image in images]
    image_index, unknown_images = _index(annotations, 'image_id', image_ids)
    category_index, unknown_categories = _index(annotations, 'category_id', [item['id'] for item in categories])
    # A number for each mask that the file has; annotations without one have the number of a mask that it lacks.
    place = np.array([item.get('segmentation', len(reader.kinds)) for item in annotations], dtype=np.int64)
    sides = [numbers(images, side, 'images', path, least=1) for side in ('width', 'height')]
    return CocoFile(
        path=path,
        categories=categories,
        image_ids=image_ids,
        file_names=[image['file_name'] for image in images],
        sizes=np.stack(sides, axis=1),
        annotation_ids=[item['id'] for item in annotations],
        image_index=image_index,
        category_index=category_index,
        unknown_images=unknown_images,
        unknown_categories=unknown_categories,
        boxes=numbers(annotations, 'bbox', 'annotations', path, length=4),
        areas=numbers(annotations, 'area', 'annotations', path),
        crowd=flags(annotations, 'iscrowd', path),
        ignored=flags(annotations, 'ignore', path),
        has_crowd_flag=np.array(['iscrowd' in item for item in annotations], dtype=bool),
        masks=np.append(np.frombuffer(bytes(reader.kinds), np.int8), np.int8(NO_MASK))[place],
        mask_numbers=np.append(np.array(reader.numbers), np.zeros(4)).reshape(-1, 4)[place],
        mask_faults={i: reader.faults[k] for i, k in enumerate(place.tolist()) if k in reader.faults},
        panoptic=panoptic,
    )


def _index(records: list[dict], key: str, ids: list) -> tuple[np.ndarray, list]:
    """Return the place of each record's id among `ids` (-1 if it is not there) and the ids that are not there."""
    places = {value: place for place, value in enumerate(ids)}
    index = np.array([places.get(record[key], -1) for record in records], dtype=np.int64)
    return index, list(dict.fromkeys(records[i][key] for i in np.flatnonzero(index < 0)))


def _flat_annotations(data: dict, path: str) -> tuple[list[dict], bool]:
    """Return the annotations, with the segments of a panoptic file written like annotations, and whether it is one."""
    annotations = _records(data, 'annotations', ('image_id',), path, optional=True)
    panoptic = bool(annotations) and 'segments_info' in annotations[0]
    if panoptic:
        _require(annotations, 'annotations', ('segments_info',), path)
        annotations = [
            {'image_id': item['image_id'], **segment} for item in annotations for segment in item['segments_info']
        ]
    _require(annotations, 'annotations', ('id', 'category_id', 'bbox', 'area'), path)
    return annotations, panoptic


def _parse(path: str, reader: MaskReader) -> dict:
    def without_mask(item: dict) -> dict:
        if 'segmentation' in item:
            item['segmentation'] = reader.add(item['segmentation'])
        return item

    try:
        with open(path, encoding='utf-8') as file:
            data = json.load(file, object_hook=without_mask)
    except (ValueError, RecursionError) as error:
        if 'BOM' in str(error):
            raise DataError(
                f'{path} begins with a byte order mark, which pycocotools does not read: save it as UTF-8 without one.'
            ) from None
        raise DataError(f'{path} is not a whole JSON file ({error}): write or download it again.') from None
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror}): write or download it again.') from None
    if not isinstance(data, dict):
        raise DataError(
            f"{path} holds a {type(data).__name__}, not an object with 'images', 'annotations' and 'categories': "
            'convert it to the COCO format.'
        )
    return data


def _records(data: dict, name: str, keys: tuple[str, ...], path: str, optional: bool = False) -> list[dict]:
    if name not in data and not optional:
        raise DataError(
            f'{path} has no {name!r}, only {", ".join(map(repr, data)) or "nothing"}: give a COCO file with the lists '
            "'images', 'annotations' and 'categories'."
        )
    records = data.get(name, [])
    if not isinstance(records, list) or any(not isinstance(record, dict) for record in records):
        raise DataError(f'{path}: {name!r} must be a list of objects: convert the file to the COCO format.')
    _require(records, name, keys, path)
    return records


def _require(records: list[dict], name: str, keys: tuple[str, ...], path: str) -> None:
    for index, record in enumerate(records):
        for key in keys:
            if key not in record:
                raise DataError(
                    f'{path}: {name}[{index}] has no {key!r}, which mmdet needs in each of them: add it '
                    f'(it has {", ".join(map(repr, record))}).'
                )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # A million new dicts would set off full collections that find nothing and take longer than the parsing.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
