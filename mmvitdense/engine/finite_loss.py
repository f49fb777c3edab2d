"""Training stops, or passes over a batch, at the first loss that is not finite."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from mmvitdense.registry import HOOKS

from .bad_batch import BadBatch
from .errors import NonFiniteError
from .full_sharding import local_part
from .random_state import random_state
from .saving import last_checkpoint
from .whole_checkpoint import bare_model, single_wrappers

_SKIPPED = 'skipped_batches'
_SMALLEST_SCALE = 1e-8
"""Loss scale that only gradients which are infinite at any scale lead to: 43 halvings of 2^16 without a step."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends a run, before the step of the optimizer, when the loss or a gradient is NaN or infinite.

    The error names the iteration, the losses, the first module that gave such numbers (found by running the batch
    again), the images and the last checkpoint. The batch is written to `bad_batch_iter_N.pth` in the work dir, from
    which `mmvitdense.apis.replay.replay_batch` runs it again.

    With dynamic loss scaling (fp16), gradients may be infinite for a while; mmengine's scaler leaves those steps out,
    and only the loss counts here, or a loss scale that has shrunk to nothing. Where several processes train, they
    agree in every iteration, so all of them stop or pass over together.

    The cost is one number that the CPU waits for in each iteration, after the backward pass; mmengine waits for the
    losses in each iteration as well, to log them.

    Args:
        max_skips: How many batches of a run, resumptions included, may be passed over instead. Their step is not taken
            (where gradients are summed up, those summed up so far are dropped with it), running statistics are put
            back, and the log names them. The next one ends the run. An exception within the model, such as a matcher's
            that refuses NaN, is passed over too if the numbers before it were not finite and one process trains.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0):
        if not isinstance(max_skips, int) or max_skips < 0:
            raise ValueError(f'FiniteLossHook: expected max_skips to be a number of at least 0, got {max_skips!r}')
        self.max_skips = max_skips
        self._undo: list[Callable[[], Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Look at losses and gradients from now on."""
        self._runner = runner
        compiled = 'train_step' in vars(runner.model)
        for wrapper in single_wrappers(runner.optim_wrapper):
            self._replace(wrapper, 'update_params', self._update_params)
            before_step = partial(self._before_step, wrapper)
            if compiled:
                before_step = torch.compiler.disable(before_step)
            handle = wrapper.optimizer.register_step_pre_hook(before_step)
            self._undo.append(handle.remove)
        self._replace(runner.model, 'train_step', self._train_step)

    def after_train(self, runner: Runner) -> None:
        """Leave the model and the optimizer as they were."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, around: Callable) -> None:
        """Let `around` be called in place of a method, which it is given first."""
        before = getattr(owner, name)
        own = name in vars(owner)  # as with a compiled train_step
        setattr(owner, name, partial(around, before))
        self._undo.append(partial(setattr, owner, name, before) if own else partial(vars(owner).pop, name))

    def _train_step(self, train_step: Callable, batch: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """A training step; without losses to log if its batch was passed over."""
        self._batch = BadBatch(self._runner, batch, random_state())
        self._loss: Tensor | None = None
        self._checked = self._dropped = False
        self._buffers = self._running_statistics() if self.max_skips else []
        try:
            outputs = train_step(batch, optim_wrapper=optim_wrapper)
        except NonFiniteError:
            raise
        except Exception as error:
            # Other processes wait in the middle of their step: the batch cannot be run again without them.
            if is_distributed():
                raise
            self._found(error)
            for wrapper in single_wrappers(optim_wrapper):
                wrapper._inner_count = self._runner.iter + 1
        else:
            if not self._checked:
                self._check()
            self._check_loss_scale()
        return {} if self._dropped else outputs

    def _update_params(self, update_params: Callable, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        now = loss.detach()
        self._loss = now if self._loss is None else self._loss + now
        update_params(loss, *args, **kwargs)

    def _before_step(self, wrapper: Any, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        scaled = _scaler(wrapper) is not None
        groups = [] if scaled else optimizer.param_groups
        self._check([local_part(p.grad) for group in groups for p in group['params'] if p.grad is not None])

    def _check(self, gradients: Sequence[Tensor] = ()) -> None:
        """Look at the loss of this iteration and at gradients; all processes give the same verdict."""
        self._checked = True
        if self._loss is None:
            return
        # Norms take few passes over memory, but squares of large finite numbers overflow as well.
        norms = torch._foreach_norm(list(gradients)) if gradients else []
        if self._agreed([self._loss, *norms]):
            return
        largest = [gradient.abs().max() for gradient in gradients if gradient.numel()]
        if not self._agreed([self._loss, *largest]):
            self._found(None)

    def _agreed(self, values: Sequence[Tensor]) -> bool:
        """Whether single numbers are finite in all processes."""
        device = self._loss.device
        finite = torch.stack([value.reshape(()).float().to(device) for value in values]).isfinite().all().float()
        if is_distributed():
            all_reduce(finite, op='min')
        return bool(finite.item())

    def _check_loss_scale(self) -> None:
        for wrapper in single_wrappers(self._runner.optim_wrapper):
            scaler = _scaler(wrapper)
            if scaler is not None and scaler.get_scale() < _SMALLEST_SCALE:
                self._found(None)

    def _found(self, error: Exception | None) -> None:
        """Pass over the batch or end the run.

        Raises:
            NonFiniteError: the run ends.
            Exception: `error`, if numbers were finite before it.
        """
        runner, batch = self._runner, self._batch
        if not batch.find(error):
            raise error
        skipped = list(runner.message_hub.runtime_info.get(_SKIPPED, []))
        skip = len(skipped) < self.max_skips
        said = batch.write_and_describe(with_weights=not skip)
        if not skip:
            message = (
                f'{said}; {last_checkpoint(runner)}. Lower the learning rate, clip gradients '
                '(optim_wrapper.clip_grad), or pass over such batches '
                'with --cfg-options default_hooks.finite_loss.max_skips=N.'
            )
            print_log(message, logger='current', level=logging.ERROR)
            self.after_train(runner)
            raise NonFiniteError(message) from error
        runner.message_hub.update_info(_SKIPPED, [*skipped, runner.iter + 1])
        print_log(
            f'{said}. The batch is passed over, {len(skipped) + 1} of at most {self.max_skips}.',
            logger='current',
            level=logging.WARNING,
        )
        self._drop()

    def _drop(self) -> None:
        """Leave no trace of the batch: without gradients, a step of the optimizer changes nothing."""
        self._dropped = True
        for parameter in bare_model(self._runner.model).parameters():
            parameter.grad = None
        for buffer, before in self._buffers:
            buffer.copy_(before)

    def _running_statistics(self) -> list[tuple[Tensor, Tensor]]:
        """Buffers that a forward pass may change, with their values."""
        return [(buffer, buffer.clone()) for buffer in bare_model(self._runner.model).buffers()]


def _scaler(wrapper: Any) -> Any | None:
    """The loss scaler of a wrapper that has one in use."""
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler if scaler is not None and scaler.is_enabled() else None
