"""What a run says: what a person reads goes to the terminal, everything goes to the log file of the work dir."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from mmengine.dist import get_rank
from mmengine.logging import MMLogger

from .build_errors import nearest
from .errors import InputError, is_of_others

_PROGRESS = ('mmengine.hooks.logger_hook', 'mmengine.hooks.checkpoint_hook', 'mmengine.hooks.early_stopping_hook')
_OWN_RESULTS = 'mmvitdense.evaluation.'
_IN_THE_PLAN = ('mmvitdense.datasets.checks',)
_OTHERS = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torch', 'torchvision', 'pycocotools')
"""Packages whose information and warnings, such as of deprecations, a person can do nothing about."""
_PRINTING = ('pycocotools', 'mmdet.datasets.api_wrappers', 'lvis')
_PASSING_ON = ('mmengine.logging', 'mmvitdense.compat')
_number = itertools.count()


class RunLog:
    """The logger of a run, from its first check on; its file is begun when there is a work dir.

    On the terminal are warnings of this package and of the user's own code, progress, checkpoints, results and errors.
    The rest, such as the environment, the whole config, tables of hooks and warnings of other libraries, is in the
    file alone, as all that is on the terminal is.

    Args:
        tables: Whether tables of results are on the terminal too.
    """

    def __init__(self, tables: bool = False):
        self.name = f'mmvitdense_run_{next(_number)}'
        self.logger = MMLogger.get_instance(self.name)
        self.file: str | None = None
        self._records: list[logging.LogRecord] = []
        self._held = _Held(self._records)
        (terminal,) = self.logger.handlers
        if int(os.environ.get('RANK', 0)):  # the group of processes starts later
            terminal.setLevel(logging.ERROR)
        terminal.addFilter(_for_terminal(tables))
        self.logger.handlers.append(self._held)

    def set_level(self, level: str | int) -> None:
        """Follow `log_level` of the config; the file has at least what INFO is.

        Raises:
            InputError: There is no such level.
        """
        if isinstance(level, str) and level not in logging._nameToLevel:
            known = logging._nameToLevel
            raise InputError(f'log_level: there is no level {level!r}{nearest(level.upper(), known, 0.3)}')
        terminal = self.logger.handlers[0]
        terminal.setLevel(logging.ERROR if get_rank() else level)

    def write_to(self, path: str) -> MMLogger:
        """Begin the file, with all that was said so far; return the logger."""
        level = min(self.logger.handlers[0].level, logging.INFO)
        with_file = MMLogger(f'{self.name}_file', log_file=path, log_level=level, file_mode='a')
        self.logger.handlers.remove(self._held)
        for handler in with_file.handlers[1:]:  # none in processes other than the first
            self.logger.handlers.append(handler)
            for record in self._records:
                handler.handle(record)
        self._records.clear()
        self.logger._log_file = self.file = path
        return self.logger

    def forget(self) -> None:
        """Take the logger away, so that it is no longer the current one."""
        MMLogger._instance_dict.pop(self.name, None)

    @contextmanager
    def said_here(self) -> Iterator[None]:
        """Inside, warnings and what libraries print go the same ways."""
        before, stdout = warnings.showwarning, sys.stdout
        warnings.showwarning = self._show_warning
        sys.stdout = _Stdout(stdout, self.logger)
        try:
            yield
        finally:
            warnings.showwarning, sys.stdout = before, stdout

    def _show_warning(self, message: Any, category: type, filename: str, line: int, *_: Any) -> None:
        record = self.logger.makeRecord(
            self.logger.name,
            logging.WARNING,
            filename,
            line,
            f'{category.__name__}: {message} ({filename}:{line})',
            (),
            None,
        )
        record.origin = _OTHERS[0] if is_of_others(category, filename) else '__main__'
        self.logger.handle(record)


_current: list[RunLog] = []


@contextmanager
def run_log(tables: bool = False) -> Iterator[RunLog]:
    """Inside, and in functions that this decorates, what is logged is that of one run.

    Args:
        tables: As for `RunLog`.
    """
    log = RunLog(tables)
    _current.append(log)
    try:
        with log.said_here():
            yield log
    finally:
        _current.remove(log)
        if log.file is None:
            log.forget()


def current_log() -> RunLog:
    """The log of the run that is being set up."""
    return _current[-1] if _current else RunLog()


class _Held(logging.Handler):
    """Keeps records until there is a file for them."""

    def __init__(self, records: list[logging.LogRecord]):
        super().__init__(logging.INFO)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


class _Stdout:
    """The standard output, without what some libraries print while they load and evaluate; that is in the log file."""

    def __init__(self, terminal: TextIO, logger: logging.Logger):
        self._terminal = terminal
        self._logger = logger

    def write(self, text: str) -> int:
        if not sys._getframe(1).f_globals.get('__name__', '').startswith(_PRINTING):
            return self._terminal.write(text)
        if text.strip():
            self._logger.info(text.strip(), extra={'origin': _PRINTING[0]})
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


def _for_terminal(tables: bool) -> Any:
    def shown(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        origin = getattr(record, 'origin', None) or _origin()
        if origin in _PROGRESS:
            return not str(record.msg).startswith('Exp name')
        own_results = origin.startswith(_OWN_RESULTS) and record.levelno <= logging.INFO
        if own_results or origin.partition('.')[0] in _OTHERS:
            return tables and '.evaluation.' in f'{origin}.'
        return record.levelno > logging.INFO or not origin.startswith(_IN_THE_PLAN)

    return shown


def _origin() -> str:
    """The module that logs."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get('__name__', '')
        if name != __name__ and name.partition('.')[0] != 'logging' and not name.startswith(_PASSING_ON):
            return name
        frame = frame.f_back
    return ''
