"""Depths at which encoders with early exit stop: seeded by the iteration in training, counted in testing."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvitdense.layers.exit_gate import ExitGate
from mmvitdense.registry import HOOKS


@HOOKS.register_module()
class ExitDepthHook(Hook):
    """Seed random depths by the iteration, and log after each validation and test how many images stopped where.

    Raises:
        ValueError: In the run, a model without an encoder of early exit.
    """

    priority = 'NORMAL'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Let all processes, and a resumed run, draw the depth of this iteration."""
        self._gate(runner).step = runner.iter

    def before_val(self, runner: Runner) -> None:
        """Count from here."""
        self._gate(runner).counts.clear()

    def after_val(self, runner: Runner) -> None:
        """Log the histogram."""
        gate = self._gate(runner)
        counts = torch.tensor([gate.counts[depth] for depth in range(1, gate.depths[-1] + 1)])
        all_reduce(counts)
        total = max(int(counts.sum()), 1)
        parts = [f'{depth}: {count}' for depth, count in enumerate(counts.tolist(), 1) if count or depth in gate.depths]
        mean = sum(depth * count for depth, count in enumerate(counts.tolist(), 1)) / total
        runner.logger.info(f'Images by depth of the encoder: {", ".join(parts)}; mean {mean:.2f}')

    before_test, after_test = before_val, after_val

    @staticmethod
    def _gate(runner: Runner) -> ExitGate:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        gates = [module for module in model.modules() if isinstance(module, ExitGate)]
        if len(gates) != 1:
            raise ValueError(
                f'ExitDepthHook needs a model with one ExitGate, and {type(model).__name__} has {len(gates)}: use '
                'EarlyExitMask2FormerHead, or leave the hook out'
            )
        return gates[0]
