"""Whether compiled kernels are there or can be built, seen without building them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from . import building


class Availability(NamedTuple):
    """What the ops of a device would find at their first call.

    Attributes:
        state: 'built', 'not built yet' (the first call compiles, in about 15 s) or 'plain PyTorch'.
        library: The file, where it is built.
        reason: Why plain PyTorch serves, and what to do about it.
        stale: A library beside the package that was built for something else and is not used.
    """

    state: str
    library: Path | None = None
    reason: str | None = None
    stale: Path | None = None


def availability(device: str) -> Availability:
    """Look for the kernels of 'cpu' or 'cuda' where `building.library` does, and compile nothing."""
    expected = building.key(device)
    installed = building.INSTALLED / f'_{device}.so'
    cached = building.cache_folder(device) / f'mmvitdense_{device}.so'
    stale = None
    for library in (installed, cached):
        if library.exists() and building.key_of(library) == expected:
            return Availability('built', library, stale=stale)
        if library == installed and library.exists():
            stale = installed
    try:
        building._require_tools(device)
    except building.UnavailableError as error:
        return Availability('plain PyTorch', reason=str(error), stale=stale)
    return Availability('not built yet', stale=stale)
