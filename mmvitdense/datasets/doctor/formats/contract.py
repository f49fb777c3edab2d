"""What a format of data sets is: one file of this folder each, with a `FORMAT`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..files import Files
from ..found import Found


@dataclass(frozen=True)
class Options:
    """What a person says of the data.

    Attributes:
        classes: Names of the classes in their order; empty where the data names them.
        table: A file with the values or colours of label maps; None to look for one.
        background: Where a value of label maps stands for what is no class: 'class' makes one of it, 'ignore' leaves
            its pixels out of training and scores.
    """

    classes: tuple[str, ...] = ()
    table: str | None = None
    background: str = 'class'


@dataclass(frozen=True)
class DataFormat:
    """A layout of annotations.

    Attributes:
        key: What `--format` calls it.
        name: Its name in words.
        matches: Says which files have its annotations: an empty list where it is not this format.
        read: Reads it.
        tasks: What can be learnt from it.
    """

    key: str
    name: str
    matches: Callable[[Files], list[str]]
    read: Callable[[Files, list[str], Options], Found]
    tasks: tuple[str, ...]
