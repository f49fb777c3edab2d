"""Without what OpenMMLab logs of each weight, parameter group and data set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger


@contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """While inside, mmengine's current logger drops what is below the level."""
    logger = MMLogger.get_current_instance()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
