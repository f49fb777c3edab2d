"""A bar for validations and tests, which mmengine logs every so many iterations alone."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitdense.progress import Bar


class EvaluationProgressHook(Hook):
    """Shows how far a validation or a test is, and the time that is left, on a terminal."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin."""
        self._begin(len(runner.val_dataloader), 'Validation')

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin."""
        self._begin(len(runner.test_dataloader), 'Test')

    def after_val_iter(self, *args: Any, **kwargs: Any) -> None:
        """One more batch."""
        self._advance()

    def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
        """One more batch."""
        self._advance()

    def _begin(self, batches: int, what: str) -> None:
        self._left = batches
        self._bar = Bar(batches, what) if is_main_process() else None

    def _advance(self) -> None:
        if self._bar is None:
            return
        self._left -= 1
        self._bar(1)
        if not self._left:  # the metrics have bars of their own
            self._bar.close()
            self._bar = None
