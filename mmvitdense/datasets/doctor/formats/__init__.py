"""Formats of data sets, one a file, and the one that a folder has."""

from __future__ import annotations

from ...checks.messages import DataError
from ..files import Files
from . import ade20k, cityscapes, cityscapes_panoptic, coco, coco_panoptic, cvat, label_maps, labelme, voc, yolo
from .contract import DataFormat, Options

FORMATS: tuple[DataFormat, ...] = (
    coco.FORMAT,
    cityscapes_panoptic.FORMAT,
    coco_panoptic.FORMAT,
    labelme.FORMAT,
    cvat.FORMAT,
    voc.FORMAT,
    yolo.FORMAT,
    cityscapes.FORMAT,
    ade20k.FORMAT,
    label_maps.FORMAT,
)
"""In the order in which they are looked for."""


def recognise(files: Files, key: str | None, task: str | None) -> tuple[DataFormat, list[str], list[str]]:
    """The format of some files, the files of its annotations, and the names of other formats that are there too.

    Args:
        files: The data.
        key: A format to take in any case.
        task: What is to be learnt: a format that cannot give it comes last.

    Raises:
        DataError: No format is recognised.
    """
    candidates = [format for format in FORMATS if key in (None, format.key)]
    candidates.sort(key=lambda format: bool(task) and task not in format.tasks)
    found = [(format, paths) for format in candidates if (paths := format.matches(files))]
    if not found:
        raise DataError(_unknown(files, key))
    return *found[0], [format.name for format, _ in found[1:]]


def _unknown(files: Files, key: str | None) -> str:
    from ...checks.paths import describe_suffixes

    wanted = next((format.name for format in FORMATS if format.key == key), None)
    known = wanted or ', '.join(format.name for format in FORMATS)
    archive = next((path for path in files.all if path.lower().endswith(('.zip', '.tar', '.gz', '.tgz', '.rar'))), None)
    hint = f'; unpack {archive} first' if archive else '; give the folder that holds images and annotations'
    return (
        f'{files.name} holds nothing that is recognised as {known}: there are {len(files.all)} files '
        f'({describe_suffixes(files.all)}){hint}.'
    )


__all__ = ['FORMATS', 'DataFormat', 'Options', 'recognise']
