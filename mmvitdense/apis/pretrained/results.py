"""Metrics for the card, from the file that an evaluation wrote."""

from __future__ import annotations

import json
from pathlib import Path

from mmvitdense.apis.errors import InputError


def read_results(path: str | Path) -> dict[str, float]:
    """The metrics of a file of `mmvitdense test --json`, without the scores of single classes.

    Raises:
        InputError: It cannot be read, or holds no numbers.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'--results {path} cannot be read as JSON: {error}.') from error
    if not isinstance(content, dict):
        raise InputError(f'--results {path}: expected {{"metric": number, ...}}, as test --json writes it.')
    results = {
        name: value
        for name, value in content.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and '.' not in name
    }
    if not results:
        raise InputError(f'--results {path} holds no metric with a number.')
    return results
