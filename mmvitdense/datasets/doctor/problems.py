"""What is wrong with a data set: one sentence a kind, with how often, where, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..checks.messages import DataError

_IN_TWO = 'shown in two splits'
_LEAVE_OUT = ', or leave {them} out with --leave-out'
KINDS = {
    # Kinds of which the images or objects in question can be left out.
    'missing image': (
        '{count} {images} that annotations name {are} not there, {first} for one: put {them} there, or correct the '
        'names'
    ),
    'unreadable image': '{count} {images} cannot be read, {first} for one: replace {them}',
    'missing label map': '{count} {images} {have} no label map, {first} for one: add {them_maps}',
    'unreadable label map': '{count} {maps} cannot be read, {first} for one: replace {them}',
    'other size': (
        '{count} {images} {have} another size than their label map, {first} for one: resize the maps without '
        'interpolation (nearest neighbour)'
    ),
    'unreadable annotation': '{count} {files} cannot be read, {first} for one: correct {them}',
    'wrong line': '{count} {lines} cannot be read, {first} for one: correct {them}',
    'box off image': (
        '{count} {boxes} {lie} off the image, {first} for one: write boxes in pixels of the image as it is on the disk'
    ),
    'empty box': '{count} {boxes} {have} no area, {first} for one: correct {them}',
    'broken mask': '{count} {masks} {are} not as {they} should be, {first} for one: correct {them}',
    _IN_TWO: (
        '{count} {images} {are} in two splits, {first} for one, so scores would be of what was learnt: take {them} out '
        'of one, or split anew by content with --resplit'
    ),
}
"""{kind: sentence}, all of them errors that --leave-out passes by."""
_PLURALS = {'images', 'maps', 'files', 'lines', 'boxes', 'masks'}


@dataclass(frozen=True)
class Problem:
    """One kind of fault.

    Attributes:
        kind: One of `KINDS`, or 'whole' for what concerns all of the data.
        text: A sentence: what was found, what was expected, what to do.
        serious: Whether it stops a conversion; else it is a warning.
        left_out: Whether --leave-out passes it by.
    """

    kind: str
    text: str
    serious: bool = True
    left_out: bool = False


class Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._whole: list[Problem] = []

    def add(self, kind: str, place: str) -> None:
        """Note one thing of a kind; it is left out of the data."""
        assert kind in KINDS
        self._places.setdefault(kind, []).append(place)

    def stop(self, text: str | DataError) -> None:
        """Note what concerns the whole data set and has to be mended first."""
        self._whole.append(Problem('whole', str(text)))

    def warn(self, text: str) -> None:
        """Note what looks wrong and may be right."""
        self._whole.append(Problem('whole', text, serious=False))

    def __iter__(self) -> Iterable[Problem]:
        yield from (problem for problem in self._whole if problem.serious)
        for kind, places in self._places.items():
            yield Problem(kind, _sentence(kind, places), left_out=True)
        yield from (problem for problem in self._whole if not problem.serious)

    def count(self, kind: str) -> int:
        """How many things of a kind were noted."""
        return len(self._places.get(kind, ()))

    def serious(self, leave_out: bool, resplit: bool = False) -> list[Problem]:
        """What stops a conversion; `resplit` says that the images are divided anew."""
        passed = {_IN_TWO} if resplit else set()
        return [
            problem
            for problem in self
            if problem.serious and not (leave_out and problem.left_out) and problem.kind not in passed
        ]


def _sentence(kind: str, places: list[str]) -> str:
    one = len(places) == 1
    words = {
        **{name: ('box' if name == 'boxes' else name[:-1]) if one else name for name in _PLURALS},
        **({'are': 'is', 'have': 'has', 'lie': 'lies'} if one else {'are': 'are', 'have': 'have', 'lie': 'lie'}),
        'them': 'it' if one else 'them',
        'they': 'it' if one else 'they',
        'them_maps': 'it' if one else 'them',
    }
    text = (KINDS[kind] + _LEAVE_OUT).format(count=len(places), first=places[0], **words)
    return (text.replace(f', {places[0]} for one:', f' ({places[0]}):', 1) if one else text) + '.'
