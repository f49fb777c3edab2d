"""Checkpoints that hold all that a run needs to go on, and nothing that it could not go on from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmvitdense.registry import HOOKS

from .errors import NonFiniteError


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, whose checkpoints also fall between two steps of the optimizer and never hold NaN.

    * With ``accumulative_counts`` above 1, the gradients that wait for the next step are written under 'gradients'
      and taken up again on resumption. Where several processes train, each has summed up its own until then; they are
      averaged first, which the step would have done.
    * Weights that are not finite end the run before any older checkpoint is deleted.

    Args are those of mmengine's ``CheckpointHook``.
    """

    def before_train(self, runner: Runner) -> None:
        """Drop resumed gradients for which no step is due, as ``accumulative_counts`` was changed."""
        super().before_train(runner)
        if not steps_are_pending(runner.optim_wrapper):
            runner.optim_wrapper.zero_grad()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the gradients of a run that is resumed."""
        gradients = checkpoint.get('gradients') if runner._resume else None
        if gradients is None:
            return
        for name, parameter in bare_model(runner.model).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)
        print_log(
            f'The gradients of {len(gradients)} parameters that wait for the next step of the optimizer were resumed',
            logger='current',
            level=logging.INFO,
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the gradients that wait for a step to a checkpoint that can be resumed from."""
        if 'optimizer' in checkpoint and steps_are_pending(runner.optim_wrapper):
            parameters = bare_model(runner.model).named_parameters()
            checkpoint['gradients'] = {
                name: parameter.grad.cpu() for name, parameter in parameters if parameter.grad is not None
            }

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        # Called by all processes, and before mmengine deletes the oldest checkpoint.
        refuse_non_finite_weights(runner)
        if get_world_size() > 1 and steps_are_pending(runner.optim_wrapper):
            _average_gradients(bare_model(runner.model))
        super()._save_checkpoint_with_step(runner, step, meta)


def bare_model(model: nn.Module) -> nn.Module:
    """The model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


def single_wrappers(optim_wrapper: Any) -> list[OptimWrapper]:
    """The optimizer wrapper, or those that an `OptimWrapperDict` holds."""
    return list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]


def steps_are_pending(optim_wrapper: Any) -> bool:
    """Whether gradients have been summed up for a step of the optimizer that is still to come."""
    return any(not wrapper.should_update() for wrapper in single_wrappers(optim_wrapper))


def refuse_non_finite_weights(runner: Runner) -> None:
    """Stop a run whose weights or running statistics hold NaN, or whose weights are infinite.

    Raises:
        NonFiniteError: names the first of them and the checkpoint to go back to.
    """
    broken = next(_non_finite(bare_model(runner.model)), None)
    if broken is not None:
        raise NonFiniteError(
            f'After iteration {runner.iter + 1} {broken} holds numbers that are not finite, so no checkpoint is '
            f'written; {last_checkpoint(runner)}. Lower the learning rate or clip gradients (optim_wrapper.clip_grad).'
        )


def last_checkpoint(runner: Runner) -> str:
    """Which checkpoint is the last good one, for a message."""
    last = runner.message_hub.runtime_info.get('last_ckpt')
    return f'the last checkpoint is {last}' if last else 'there is no earlier checkpoint'


def _non_finite(model: nn.Module) -> Iterator[str]:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            yield f'the weight {name}'
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and buffer.isnan().any():
            yield f'the buffer {name}'


def _average_gradients(model: nn.Module) -> None:
    """Replace the gradients of each process by their mean over all processes."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = parameters[0].device
    present = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=device)
    all_reduce(present, op='max')
    for parameter, somewhere in zip(parameters, present.tolist(), strict=True):
        if somewhere:
            gradient: Tensor = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            all_reduce(gradient, op='mean')
            parameter.grad = gradient
