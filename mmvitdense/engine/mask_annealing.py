"""Annealing of masked attention: queries that are masked at first are not at the end."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvitdense.layers import QueryMasking
from mmvitdense.registry import HOOKS


def annealed(step: int, start: int, end: int, power: float = 0.9) -> float:
    """Probability of masks after `step` steps: 1 before `start`, 0 from `end` on, polynomial between."""
    if step < start:
        return 1.0
    return 0.0 if step >= end else (1 - (step - start) / (end - start)) ** power


@HOOKS.register_module()
class MaskAnnealingHook(Hook):
    """Lower the probability of the masks of a mask transformer block by block (EoMT, `training/lightning_module.py`).

    The probabilities depend on the number of steps that the optimizer has done, so a resumed run goes on as it would
    have, with gradient accumulation too. They are a buffer of the model and are logged as 'mask_prob_0' and so on.

    Args:
        starts: Step of the optimizer at which each block begins to be annealed, the earliest block with queries first.
        ends: Step from which on a block has no masks.
        power: Exponent of the decay.

    Raises:
        ValueError: Another number of ends than of starts, or an end that is not after its start; in the run, no model
            with masks, or one with another number of blocks.
    """

    priority = 'NORMAL'

    def __init__(self, starts: Sequence[int], ends: Sequence[int], power: float = 0.9):
        if len(starts) != len(ends) or any(not 0 <= start < end for start, end in zip(starts, ends)):
            raise ValueError(
                f'starts and ends need a step for each block, from 0 and each end after its start, got {list(starts)} '
                f'and {list(ends)}'
            )
        self.starts, self.ends, self.power = tuple(starts), tuple(ends), power
        self._maskings: list[QueryMasking] = []
        self._in_force: list[float] | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the masks of the model."""
        self._in_force = None  # what a checkpoint brought is not known
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._maskings = [module for module in model.modules() if isinstance(module, QueryMasking)]
        counts = sorted({masking.num_blocks for masking in self._maskings})
        if counts != [len(self.starts)]:
            found = f'blocks with masks: {counts[0]}' if counts else 'no masks of queries'
            raise ValueError(
                f'MaskAnnealingHook has starts and ends for {len(self.starts)} blocks, and {type(model).__name__} has '
                f'{found}: give one for each block with queries, or leave the hook out'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the probabilities of this iteration."""
        step = runner.iter // getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        values = self.probabilities(step)
        if values != self._in_force:  # most steps change nothing, and a copy to a GPU waits for it
            for masking in self._maskings:
                masking.set_probabilities(values)
            self._in_force = values
        log = MessageHub.get_current_instance()
        for index, value in enumerate(values):
            log.update_scalar(f'train/mask_prob_{index}', value)

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it is after the last step."""
        self.before_train_iter(runner, 0)

    def probabilities(self, step: int) -> list[float]:
        """Probability of each block after `step` steps of the optimizer."""
        return [annealed(step, start, end, self.power) for start, end in zip(self.starts, self.ends)]
