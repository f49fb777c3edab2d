"""The switch that allows lists of files to name some outside of the folders of their data set."""

from __future__ import annotations

import os

OUTSIDE = 'MMVITDENSE_OUTSIDE_FILES'
"""Environment variable: '1' allows files outside of the folders of a data set (`--outside-files` of the tools)."""


def outside_files_are_allowed() -> bool:
    """Whether the switch is on in this process."""
    return os.environ.get(OUTSIDE, '') not in ('', '0')
