"""A hook that counts the time of a training, without its first iteration."""

from __future__ import annotations

import time
from typing import ClassVar

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .stopwatch import BACKWARD, Stopwatch


@HOOKS.register_module()
class TrainingClock(Hook):
    """Counts sections and time; what was found stays on the class, as a runner builds its hooks itself."""

    priority = 'LOW'
    """Before checkpoints are written, which at the end of a few iterations would be a tenth of the time."""
    watch: ClassVar[Stopwatch] = Stopwatch()
    seconds: ClassVar[float] = 0.0
    _start: ClassVar[float] = 0.0

    def before_train(self, runner: Runner) -> None:
        """Count the sections of the runner."""
        watch = type(self).watch
        watch.count_model(runner.model)
        watch.count_pipeline(runner.train_loop.dataloader.dataset.pipeline)
        watch.count(runner.optim_wrapper, 'update_params', BACKWARD)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        """The first iteration loads and compiles; from its end on time counts."""
        kind = type(self)
        if batch_idx == 0:
            kind.watch.seconds.update(dict.fromkeys(kind.watch.seconds, 0.0))
            kind._start = time.perf_counter()
        kind.seconds = time.perf_counter() - kind._start
