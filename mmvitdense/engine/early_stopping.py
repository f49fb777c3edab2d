"""Runs that end early, and go on as they would have when they are resumed."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner

from mmvitdense.registry import HOOKS

_KEY = 'early_stopping'


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's hook, whose best result and patience are in the checkpoints; its own forgets them on resumption.

    Args are those of mmengine's `EarlyStoppingHook`.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the best result and how many validations were without a better one."""
        checkpoint['meta'][_KEY] = {'monitor': self.monitor, 'best': self.best_score, 'waited': self.wait_count}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take them up in a run that is resumed, if they are of the same result."""
        saved = (checkpoint.get('meta') or {}).get(_KEY) or {}
        if runner._resume and saved.get('monitor') == self.monitor:
            self.best_score, self.wait_count = saved['best'], saved['waited']
