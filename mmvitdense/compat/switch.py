"""The off switch: which patches a person does not want."""

import os
from collections.abc import Collection

VARIABLE = 'MMVITDENSE_COMPAT'
"""Environment variable: 'off' for no patch, or names with a minus before each, such as '-onedl,-lvis'."""


def left_out(names: Collection[str]) -> frozenset[str]:
    """The patches that the environment variable leaves out; none where it is unset, empty or 'on'.

    Args:
        names: All patches there are.

    Raises:
        ValueError: The variable says anything else.
    """
    text = os.environ.get(VARIABLE, '').strip()
    if text in ('', 'on'):
        return frozenset()
    if text == 'off':
        return frozenset(names)
    entries = [entry.strip() for entry in text.split(',')]
    unknown = [entry for entry in entries if not entry.startswith('-') or entry[1:] not in names]
    if unknown:
        raise ValueError(
            f"{VARIABLE} is {text!r}, with {unknown[0]!r} in it; expected 'off' for no patch at all, or the names of "
            f"patches to leave out with a minus before each, such as '-onedl,-lvis': {', '.join(names)}."
        )
    return frozenset(entry[1:] for entry in entries)
