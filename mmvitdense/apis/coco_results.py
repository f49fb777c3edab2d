"""Results of many images as one file of COCO's results format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import write_json
from .result import Result


class CocoResults:
    """Collects detections.

    Args:
        annotations: COCO's annotation file, whose ids of images (by 'file_name', else by its last part) and of
            categories (by name) are used. Without one, images are numbered from 1 in their order, the first class is
            category 1, and `FILE.images.json` beside the results says which is which.

    Raises:
        InputError: The file cannot be read, or is none of COCO.
    """

    def __init__(self, annotations: str | Path | None = None):
        self._source = annotations
        self._found: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._classes: tuple[str, ...] = ()
        self._categories: dict[str, int] | None = None
        if annotations is not None:
            self._image_ids, self._categories = _ids(annotations)

    def check(self, names: Iterable[str]) -> None:
        """Refuse images that the annotation file does not have, before any work.

        Raises:
            InputError: There are some.
        """
        if self._source is None:
            return
        absent = [name for name in names if self._id_of(name) is None]
        if absent:
            raise InputError(
                f'{len(absent)} image(s) are not in {self._source}, so that they have no id ({", ".join(absent[:3])}): '
                'give the folder that its file names are of.'
            )

    def add(self, result: Result) -> None:
        """Add the detections of an image.

        Raises:
            InputError: A class is none of the annotation file.
        """
        self._classes = result.classes
        number = len(self._images) + 1 if self._source is None else self._id_of(result.name)
        self._images.append({'id': number, 'file_name': result.name, 'height': result.height, 'width': result.width})
        try:
            self._found += result.to_coco(number, self._categories)
        except KeyError as error:
            raise InputError(f'{self._source} has no category named {error}, which the model predicts.') from error

    def write(self, path: str | Path) -> None:
        """Write the results, a list, as JSON."""
        write_json(path, self._found, indent=None)
        if self._source is None:
            categories = [{'id': place, 'name': name} for place, name in enumerate(self._classes, 1)]
            content = {'images': self._images, 'categories': categories}
            write_json(Path(path).with_suffix('.images.json'), content, indent=None)

    def _id_of(self, name: str) -> Any:
        return self._image_ids.get(name, self._image_ids.get(Path(name).name))


def _ids(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Ids of images by file name, and by its last part where that is of one alone; ids of categories by name."""
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        images = {image['file_name']: image['id'] for image in content['images']}
        categories = {category['name']: category['id'] for category in content['categories']}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} is no annotation file of COCO that can be read ({error}).') from error
    short: dict[str, list[Any]] = {}
    for name, number in images.items():
        short.setdefault(Path(name).name, []).append(number)
    return {**{name: ids[0] for name, ids in short.items() if len(ids) == 1}, **images}, categories
