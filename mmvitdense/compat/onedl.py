"""The maintained mmdet and mmseg without the optional package of their maintainers.

onedl-mmdetection and onedl-mmsegmentation say "Could not import OneDL" twice each at every start where that package,
which nothing here needs, is not installed. They say it at the level of debugging, but without a logger, and mmengine
prints what has no logger whatever its level. That one message is dropped; all others are printed as before.
"""

import functools
import logging
from types import ModuleType
from typing import Any

from .import_hooks import after_import

_MESSAGE = 'Could not import OneDL'


def register() -> None:
    after_import('mmengine.logging', _drop_message)


def _drop_message(module: ModuleType) -> None:
    print_log = module.print_log

    @functools.wraps(print_log)
    def print_all_but_one(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is None and level == logging.DEBUG and str(msg).startswith(_MESSAGE):
            return
        print_log(msg, logger, level)

    module.print_log = print_all_but_one
