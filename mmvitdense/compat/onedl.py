"""The maintained mmdet and mmseg without the optional package of their maintainers.

onedl-mmdetection and onedl-mmsegmentation say "Could not import OneDL" twice each at every start where that package,
which nothing here needs, is not installed. They say it at the level of debugging, but without a logger, and mmengine
prints what has no logger whatever its level. That one message is dropped; all others are printed as before.
"""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from .import_hooks import Replace, replaced

MODULE = 'mmengine.logging'

_MESSAGE = 'Could not import OneDL'


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, the message is dropped, and by what imported `print_log` inside from then on."""
    with replaced(MODULE, _drop_message):
        yield


def _drop_message(module: ModuleType, replace: Replace) -> None:
    print_log = module.print_log

    @functools.wraps(print_log)
    def print_all_but_one(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is None and level == logging.DEBUG and str(msg).startswith(_MESSAGE):
            return
        print_log(msg, logger, level)

    replace(module, 'print_log', print_all_but_one)
