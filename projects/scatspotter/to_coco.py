"""Turn a kwcoco file of polygons into the COCO form that mmdet reads.

EXAMPLE
    python projects/scatspotter/to_coco.py data/scatspotter/train_imgs5747_1e73d54f.kwcoco.zip \\
        data/scatspotter/train.json
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from pycocotools import mask as masks


class ConversionError(ValueError):
    """The file is not what is expected; the message says what to do."""


def read_kwcoco(path: Path) -> dict[str, Any]:
    """The content of `.kwcoco.json`, or of the one JSON file inside `.kwcoco.zip`.

    Raises:
        ConversionError: It is no such file.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith('.json')]
                if len(names) != 1:
                    raise ConversionError(f'{path} holds {len(names)} JSON files: give a kwcoco.zip, which holds one')
                content = json.loads(archive.read(names[0]))
        else:
            content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConversionError(f'{path} is no JSON ({error}): give a .kwcoco.json or .kwcoco.zip') from None
    if not isinstance(content, dict) or not {'images', 'annotations', 'categories'} <= content.keys():
        raise ConversionError(f'{path} has no images, annotations and categories: give a kwcoco or COCO file')
    return content


def convert(source: dict[str, Any], category: str = 'poop') -> tuple[dict[str, Any], int]:
    """Keep what COCO has of one category.

    Args:
        source: The content of a kwcoco file.
        category: Name of the category, which becomes the only one. Images without it stay, as background.

    Returns:
        The content of a COCO file, and how many annotations of the category have no outline and are left out.

    Raises:
        ConversionError: There is no such category, or an image has no file or no size.
    """
    ids = [entry['id'] for entry in source['categories'] if entry['name'] == category]
    if not ids:
        names = ', '.join(entry['name'] for entry in source['categories'])
        raise ConversionError(f'there is no category {category!r} but {names}: give one of these as --category')
    images = {}
    for image in source['images']:
        if not all(image.get(key) for key in ('file_name', 'width', 'height')):
            raise ConversionError(
                f'image {image["id"]} lacks file_name, width or height: kwcoco files of single pictures are expected'
            )
        images[image['id']] = {key: image[key] for key in ('id', 'file_name', 'width', 'height')}
    annotations, left_out = [], 0
    for annotation in source['annotations']:
        if annotation.get('category_id') not in ids:
            continue
        image = images[annotation['image_id']]
        outline = as_outline(annotation.get('segmentation'), image['height'], image['width'])
        if outline is None:
            left_out += 1
            continue
        annotations.append(
            {
                'id': len(annotations) + 1,
                'image_id': image['id'],
                'category_id': 1,
                'iscrowd': int(annotation.get('iscrowd') or 0),
                **outline,
            }
        )
    categories = [{'id': 1, 'name': category}]
    return {'images': list(images.values()), 'annotations': annotations, 'categories': categories}, left_out


def as_outline(segmentation: Any, height: int, width: int) -> dict[str, Any] | None:
    """Segmentation, area and box of an object in the COCO form; None where nothing is outlined.

    Args:
        segmentation: As in COCO (lists of x, y, x, y...; run lengths), or kwcoco's polygons: a dict with 'exterior' and
            'interiors', lists of (x, y), or a list of these.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    if isinstance(segmentation, dict) and 'counts' in segmentation:
        runs = segmentation
        if isinstance(runs['counts'], list):
            runs = masks.frPyObjects(runs, height, width)
        kept: Any = _as_text(runs)
    else:
        polygons = [polygon for polygon in _polygons(segmentation) if len(polygon[0]) >= 6]
        if not polygons:
            return None
        kept = [exterior for exterior, _ in polygons]
        runs = _runs(kept, height, width)
        holes = [hole for _, interiors in polygons for hole in interiors if len(hole) >= 6]
        if holes:  # which the polygons of COCO cannot have
            inside = masks.decode(runs) & ~(masks.decode(_runs(holes, height, width)) > 0)
            runs = masks.encode(np.asfortranarray(inside.astype(np.uint8)))
            kept = _as_text(runs)
    area = float(masks.area(runs))
    if not area:
        return None
    return {'segmentation': kept, 'area': area, 'bbox': [float(side) for side in masks.toBbox(runs)]}


def _polygons(segmentation: Any) -> Iterator[tuple[list[float], list[list[float]]]]:
    """The outer line and the holes of each polygon, each a flat list."""
    if isinstance(segmentation, dict):
        if 'data' in segmentation:  # {'type': 'polygon' or 'multipolygon', 'data': ...}
            yield from _polygons(segmentation['data'])
        elif 'exterior' in segmentation:
            yield _flat(segmentation['exterior']), [_flat(hole) for hole in segmentation.get('interiors') or []]
    elif isinstance(segmentation, list) and segmentation:
        if isinstance(segmentation[0], int | float):
            yield segmentation, []
        else:
            for part in segmentation:
                yield from _polygons(part)


def _flat(points: list[list[float]]) -> list[float]:
    return [float(value) for point in points for value in point]


def _runs(polygons: list[list[float]], height: int, width: int) -> dict[str, Any]:
    return masks.merge(masks.frPyObjects(polygons, height, width))


def _as_text(runs: dict[str, Any]) -> dict[str, Any]:
    counts = runs['counts']
    return {'size': list(runs['size']), 'counts': counts.decode() if isinstance(counts, bytes) else counts}


def unlike_their_files(images: list[dict[str, Any]], root: Path) -> list[str]:
    """One line for each image that cannot be read, or is not of the size that the annotations are for.

    Sizes are those in which pixels are stored, whatever the orientation that a phone wrote beside them.
    """
    lines = []
    for image in images:
        path = root / image['file_name']
        try:
            with Image.open(path) as picture:
                size = picture.size
        except (OSError, UnidentifiedImageError) as error:
            lines.append(f'{path}: {error}')
            continue
        expected = (image['width'], image['height'])
        if size != expected:
            lines.append(f'{path}: stored as {size[0]} x {size[1]}, annotated as {expected[0]} x {expected[1]}')
    return lines


def main() -> int:
    """Convert; 1 where something is wrong, with a sentence that says what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='.kwcoco.json or .kwcoco.zip, beside its images')
    parser.add_argument('target', type=Path, help='COCO file to write')
    parser.add_argument('--category', default='poop', help='the one to keep (default: %(default)s)')
    arguments = parser.parse_args()
    try:
        content, left_out = convert(read_kwcoco(arguments.source), arguments.category)
    except (ConversionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if wrong := unlike_their_files(content['images'], arguments.source.parent):
        print(f'{len(wrong)} of {len(content["images"])} images are not as annotated, the first:', file=sys.stderr)
        print('\n'.join(wrong[:5]), file=sys.stderr)
        return 1
    arguments.target.write_text(json.dumps(content))
    print(f'{arguments.target}: {len(content["images"])} images, {len(content["annotations"])} objects', end='')
    print(f'; {left_out} without an outline left out' if left_out else '')
    return 0


if __name__ == '__main__':
    sys.exit(main())
