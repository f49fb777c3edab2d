"""The built-in data set of coloured shapes, as files that mmdet and mmseg read.

ROOT/images/{training,validation}/000000.jpg ...
ROOT/annotations/{training,validation}/000000.png      class of each pixel, 0 is background
ROOT/annotations/instances_{training,validation}.json  COCO instances of the same images (boxes and RLE masks)
ROOT/annotations/panoptic_{training,validation}.json   COCO panoptic segments of the same images, background as stuff
ROOT/annotations/panoptic_{training,validation}/000000.png     segment of each pixel
ROOT/shapes.json                                       how it was made
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

from mmvitdense.progress import progress

from .shape_scenes import CLASSES, Scene, paint_scene

SPLITS = ('training', 'validation')
_RECORD = 'shapes.json'
_GENERATOR = 'mmvitdense.datasets.shapes'
_JPEG_QUALITY = 95
_BACKGROUND = 'background'
# An odd factor numbers segments differently below 2**24, far enough apart to be distinguished by eye.
_SEGMENT_STEP = 0x9E3779


def write_shapes(
    root: str | Path,
    num_training: int = 400,
    num_validation: int = 100,
    image_size: int | tuple[int, int] = 128,
    seed: int = 0,
    objects: tuple[int, int] = (1, 5),
    overwrite: bool = False,
) -> Path:
    """Write the shapes data set. The same arguments give the same bytes.

    The files are written into a hidden folder beside `root` that is renamed at the end: `root` holds either a whole
    data set or what it held before.

    Args:
        root: Folder to create.
        num_training, num_validation: Number of images of each split.
        image_size: (height, width) in pixels, or one number for both; at least 32.
        seed: Each image depends on the seed, its split and its index alone.
        objects: Smallest and largest number of objects in an image.
        overwrite: Replace `root` if it is a data set that this function wrote and to which nothing was added.

    Returns:
        `root`.

    Raises:
        FileExistsError: If `root` is there and may not be replaced.
        ValueError: If an argument is out of range, or the objects do not fit into the images.
    """
    root = Path(root)
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    counts = dict(zip(SPLITS, (num_training, num_validation)))
    _check_arguments(counts, size, seed, objects)
    _check_target(root, overwrite)
    record = {
        'generator': _GENERATOR,
        'version': 2,
        'images': counts,
        'size': list(size),
        'seed': seed,
        'objects': list(objects),
    }
    target = root.resolve()
    partial = target.parent / f'.{target.name}.partial-{uuid.uuid4().hex[:8]}'
    partial.mkdir(parents=True)
    try:
        for split in SPLITS:
            _write_split(partial, split, counts[split], size, seed, tuple(objects))
        (partial / _RECORD).write_text(json.dumps(record, indent=1) + '\n')
        _move_into_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def scene(split: str, index: int, image_size: tuple[int, int], seed: int, objects: tuple[int, int] = (1, 5)) -> Scene:
    """Return one image of the data set with its masks, without any file. Arguments as for `write_shapes`."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    return paint_scene(rng, *image_size, objects=objects)


def coco_instances(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """Return the COCO annotations of a scene: tight boxes (x, y, width, height), areas and compressed RLE masks."""
    annotations = []
    for number, label in enumerate(scene.labels, start=1):
        mask = scene.instances == number
        encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
        annotations.append(
            {
                'id': first_id + number - 1,
                'image_id': image_id,
                'category_id': label + 1,
                'bbox': _tight_box(mask),
                'area': int(mask.sum()),
                'segmentation': {'size': list(mask.shape), 'counts': encoded['counts'].decode('ascii')},
                'iscrowd': 0,
            }
        )
    return annotations


def coco_panoptic(scene: Scene, image_id: int, file_name: str) -> tuple[dict, np.ndarray]:
    """Return the COCO panoptic annotation of a scene and its segments as H x W x 3 uint8, BGR.

    The id of a segment is red + 256 green + 65536 blue of its pixels. Objects come in the order of `scene.labels`,
    then the background, which is the category after the classes.
    """
    numbers = [*range(1, len(scene.labels) + 1), 0]
    segments, ids = [], np.zeros(scene.instances.shape, np.int64)
    for number, label in zip(numbers, (*scene.labels, len(CLASSES))):
        mask = scene.instances == number
        if not mask.any():
            continue
        segment = (len(segments) + 1) * _SEGMENT_STEP % 2**24
        ids[mask] = segment
        segments.append(
            {
                'id': segment,
                'category_id': label + 1,
                'bbox': _tight_box(mask),
                'area': int(mask.sum()),
                'iscrowd': 0,
            }
        )
    blue_green_red = np.stack([ids >> 16, ids >> 8, ids], axis=-1) & 255
    return {'image_id': image_id, 'file_name': file_name, 'segments_info': segments}, blue_green_red.astype(np.uint8)


def _tight_box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    x, y = int(columns.min()), int(rows.min())
    return [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]


def _write_split(folder: Path, split: str, count: int, size: tuple, seed: int, objects: tuple) -> None:
    images, annotations = folder / 'images' / split, folder / 'annotations'
    maps, segments = annotations / split, annotations / f'panoptic_{split}'
    for new in (images, maps, segments):
        new.mkdir(parents=True)
    things = [
        {'id': i, 'name': name, 'supercategory': 'shape', 'isthing': 1} for i, name in enumerate(CLASSES, start=1)
    ]
    stuff = {'id': len(CLASSES) + 1, 'name': _BACKGROUND, 'supercategory': _BACKGROUND, 'isthing': 0}
    instances, panoptic = _empty_file(things), _empty_file([*things, stuff])
    for index in progress(range(count), f'Painting {split}'):
        painted = scene(split, index, size, seed, objects)
        name = f'{index:06d}'
        annotation, colours = coco_panoptic(painted, index + 1, f'{name}.png')
        _write_image(images / f'{name}.jpg', painted.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        _write_image(maps / f'{name}.png', painted.semantic_map())
        _write_image(segments / f'{name}.png', colours)
        info = {'id': index + 1, 'file_name': f'{name}.jpg', 'height': size[0], 'width': size[1]}
        instances['images'].append(info)
        panoptic['images'].append(info)
        instances['annotations'] += coco_instances(painted, index + 1, len(instances['annotations']) + 1)
        panoptic['annotations'].append(annotation)
    (annotations / f'instances_{split}.json').write_text(json.dumps(instances))
    (annotations / f'panoptic_{split}.json').write_text(json.dumps(panoptic))


def _empty_file(categories: list[dict]) -> dict:
    info = {'description': 'coloured shapes', 'version': '1'}
    return {'info': info, 'images': [], 'annotations': [], 'categories': categories}


def _write_image(path: Path, image: np.ndarray, options: list[int] | None = None) -> None:
    # cv2.imwrite returns False on a full disk; writing the bytes ourselves raises the reason.
    path.write_bytes(cv2.imencode(path.suffix, image, options or [])[1].tobytes())


def _check_arguments(counts: dict[str, int], size: tuple, seed: int, objects: tuple) -> None:
    for split, count in counts.items():
        if count < 1:
            raise ValueError(f'The number of {split} images must be at least 1, got {count}.')
    if len(size) != 2 or min(size) < 32:
        raise ValueError(f'image_size must be one number or (height, width), each at least 32 pixels, got {size}.')
    if seed < 0:
        raise ValueError(f'seed must not be negative, got {seed}.')
    if len(objects) != 2 or not 1 <= objects[0] <= objects[1]:
        raise ValueError(f'objects must be (smallest, largest) with 1 <= smallest <= largest, got {tuple(objects)}.')


def _check_target(root: Path, overwrite: bool) -> None:
    """Raise unless `root` may be created or replaced."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f'{root} exists already: give another folder, or --overwrite to replace shapes data.')
    try:
        record = json.loads((root / _RECORD).read_text())
        expected = _expected_files(record['images']) if record['generator'] == _GENERATOR else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        expected = None
    if expected is None:
        raise FileExistsError(f'{root} was not written by make_shapes, so it is not overwritten: give another folder.')
    found = {path.relative_to(root).as_posix() for path in root.rglob('*') if not path.is_dir()}
    if foreign := sorted(found - expected):
        raise FileExistsError(
            f'{root} holds files that make_shapes did not write, {foreign[0]} for one, so it is not overwritten: '
            'move them away or give another folder.'
        )


def _expected_files(counts: dict[str, int]) -> set[str]:
    files = {_RECORD}
    for split, count in counts.items():
        files |= {f'annotations/instances_{split}.json', f'annotations/panoptic_{split}.json'}
        for index in range(count):
            files |= {
                f'images/{split}/{index:06d}.jpg',
                f'annotations/{split}/{index:06d}.png',
                f'annotations/panoptic_{split}/{index:06d}.png',
            }
    return files


def _move_into_place(partial: Path, target: Path) -> None:
    if not target.exists():
        os.rename(partial, target)
        return
    old = partial.with_name(partial.name.replace('.partial-', '.old-'))
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old)
