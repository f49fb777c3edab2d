"""What ends a run."""

from __future__ import annotations


class NonFiniteError(Exception):
    """Training gave numbers that are not finite. The message says in one sentence where, and what to do."""
