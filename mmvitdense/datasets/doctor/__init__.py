"""The data doctor: what a folder of data is, what is wrong with it, and the same data as it can be trained on."""

from __future__ import annotations

from collections.abc import Sequence

from ..checks.messages import DataError
from .converting import Layout, convert
from .files import Files
from .formats import FORMATS, Options, recognise
from .found import Found, Split
from .in_place import layout_in_place
from .judging import judge
from .problems import Problem, Problems
from .splitting import parts_of
from .summary import SplitCounts, totals

TASKS = ('detection', 'instance', 'semantic', 'panoptic')


def look(
    paths: Sequence[str],
    format: str | None = None,
    task: str | None = None,
    options: Options | None = None,
    every_image: bool = False,
) -> Found:
    """Say what some folders or files are, and what is wrong with them. Nothing is written or changed.

    Args:
        paths: Folders, or files of annotations.
        format: Take them for this format.
        task: What is to be learnt, where the data has annotations of several kinds.
        options: Names of classes and the like.
        every_image: Decode all images, not a sample.

    Raises:
        DataError: They are not there, or nothing is recognised.
    """
    files = Files(paths)
    chosen, annotations, others = recognise(files, format, task)
    found = chosen.read(files, annotations, options or Options())
    found.others = tuple(others)
    judge(found, every_image)
    return found


__all__ = [
    'FORMATS',
    'TASKS',
    'DataError',
    'Found',
    'Layout',
    'Options',
    'Problem',
    'Problems',
    'Split',
    'SplitCounts',
    'convert',
    'layout_in_place',
    'look',
    'parts_of',
    'totals',
]
