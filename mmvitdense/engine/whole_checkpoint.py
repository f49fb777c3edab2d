"""Checkpoints that hold all that a run needs to go on, and nothing that it could not go on from."""

from __future__ import annotations

import bisect
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor, nn

from mmvitdense.registry import HOOKS
from mmvitdense.whole_files import write_text_whole

from .command_line import resume_command
from .errors import NonFiniteError, SavingError, ShardingError, StoppedBySignal
from .full_sharding import FullyShardedModel, is_sharded, local_part
from .latest_checkpoint import NOTE
from .saving import KeptFiles, can_save_whole, last_checkpoint, remove_outdated, save_whole
from .stop_signals import StopSignals

_OUTDATED = 'outdated_ckpts'
"""Info of the message hub: files that are deleted when the checkpoint with it exists."""
_STOPPED = 'stopped_ckpt'
"""Info of the message hub: the checkpoint of a run that was stopped, which the next one replaces."""


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's hook, whose checkpoints exist or do not, whatever ends the run and whenever.

    * A checkpoint is written under a temporary name, synced and renamed, then noted in `last_checkpoint` likewise.
      Only then are older ones deleted (`max_keep_ckpts`, `save_best`); a run that is killed in between and resumed
      deletes them later. One that cannot be written, for want of room or rights, ends the run in all processes.
    * A resumed run first makes the validation that was due when its checkpoint was written.
    * SIGTERM and Ctrl-C finish the iteration, save a checkpoint and end the run with exit code 143 or 130, in all
      processes at the same iteration. Where several processes sum up gradients, that is the next one with a step of
      the optimizer. Within a validation, the state is saved if there is no checkpoint of it, and the validation is made
      on resumption. A second Ctrl-C ends at once.
    * With `accumulative_counts` above 1, the gradients that wait for the next step are written under 'gradients'
      and taken up again on resumption. Where several processes train, each has summed up its own until then; they are
      averaged first, which the step would have done.
    * Weights that are not finite end the run before any older checkpoint is deleted.

    Args are those of mmengine's `CheckpointHook`.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.signals = StopSignals()
        self._validation_due = self._resumed_due = False
        self._saved_iter: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin to note signals, and make the validation that a resumed run has not made yet."""
        super().before_train(runner)
        if can_save_whole(runner, self.file_backend):
            runner.save_checkpoint = save_whole(runner, lambda: self.last_ckpt)
        elif isinstance(runner.model, FullyShardedModel):
            raise ShardingError(
                'default_hooks.checkpoint.backend_args names another storage than files, which cannot take weights '
                'that are split among processes: leave it out, or train without configs/_base_/fsdp.py.'
            )
        self.last_ckpt, self._saved_iter = (runner._load_from, runner.iter) if runner._resume else (None, None)
        self._remove_outdated(runner)
        # Resumed gradients for which no step is due, as accumulative_counts was changed, are dropped.
        if not steps_are_pending(runner.optim_wrapper):
            runner.optim_wrapper.zero_grad()
        self.signals.install()
        due, self._resumed_due = self._resumed_due, False
        if due and runner.val_loop is not None:
            _log('The checkpoint was written before the validation that follows it, which is made now')
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Handle signals as before."""
        super().after_train(runner)
        self.signals.restore()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save if it is time, or if the run is asked to stop."""
        by_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        self._validation_due = by_iterations and _validates(runner, runner.iter + 1, runner.max_iters)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        stopped_by = self.signals.agreed()
        if stopped_by is not None and self._can_save(runner):
            self._stop(runner, stopped_by, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def after_train_epoch(self, runner: Runner) -> None:
        """Save if it is time."""
        by_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self._validation_due = by_epochs and _validates(runner, runner.epoch + 1, runner.max_epochs)
        super().after_train_epoch(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Leave a validation if the run is asked to stop; processes leave each by itself, as they do not wait here."""
        stopped_by = self.signals.received
        # Where weights are split, no process can save them alone: the next iteration ends the run.
        if stopped_by is None or not self._can_save(runner) or is_sharded(runner.model):
            return
        self._validation_due = True
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):  # validates with the averaged weights in the place of the others
                hook._swap_ema_parameters()
        self._stop(runner, stopped_by, dict(epoch=runner.epoch, iter=runner.iter), together=False)

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Save if it is the best."""
        self._validation_due = False
        super().after_val_epoch(runner, metrics)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the gradients of a run that is resumed."""
        if not runner._resume:
            return
        self._resumed_due = bool(checkpoint['meta'].get('validation_due'))
        gradients = checkpoint.get('gradients')
        if gradients is None:
            return
        for name, parameter in bare_model(runner.model).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)
        _log(f'The gradients of {len(gradients)} parameters that wait for the next step of the optimizer were resumed')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what resumption needs besides to a checkpoint that can be resumed from."""
        checkpoint['meta']['validation_due'] = self._validation_due
        if 'optimizer' in checkpoint and steps_are_pending(runner.optim_wrapper):
            checkpoint['gradients'] = _gradients(runner.model)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, then delete what the new checkpoint makes superfluous. Called by all processes."""
        outdated = self._stopped(runner)
        if isinstance(self.file_backend, KeptFiles):
            outdated += self.file_backend.names
        info = {}
        if self.max_keep_ckpts > 0:
            if not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step:
                if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                    outdated.append(self.filename_tmpl.format(self.keep_ckpt_ids.popleft()))
                self.keep_ckpt_ids.append(step)
            info['keep_ckpt_ids'] = list(self.keep_ckpt_ids)
        self._save(runner, self.filename_tmpl.format(step), meta, {_OUTDATED: outdated, _STOPPED: None, **info})

    def _save(self, runner: Runner, filename: str, meta: dict, info: dict) -> None:
        refuse_non_finite_weights(runner)
        if get_world_size() > 1 and steps_are_pending(runner.optim_wrapper) and not is_sharded(runner.model):
            _average_gradients(bare_model(runner.model))
        path = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info_dict({'last_ckpt': path, **info})
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.last_ckpt, self._saved_iter = path, meta['iter']
        if is_main_process():
            write_text_whole(Path(runner.work_dir, NOTE), path)
        self._remove_outdated(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        named = self.key_indicators if self.save_best else ()
        if unknown := [key for key in named if key not in ('auto', *metrics)]:
            raise SavingError(
                f'default_hooks.checkpoint.save_best={unknown[0]!r} is not among the results of the validation '
                f'({", ".join(metrics)}): give one of them, or auto.'
            )
        # mmengine deletes the best one so far before it saves the new one, and then saves the last one again.
        self.file_backend = kept = KeptFiles(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = kept.backend
        self._remove_outdated(runner, kept.names)

    def _stopped(self, runner: Runner) -> list[str]:
        """The checkpoint at which the run was stopped, which is not one of those that are asked for."""
        stopped = runner.message_hub.runtime_info.get(_STOPPED)
        return [stopped] if stopped and self.max_keep_ckpts > 0 else []

    def _remove_outdated(self, runner: Runner, names: Iterable[str] | None = None) -> None:
        """Delete files that are no longer wanted, those of the last checkpoint if they are not given."""
        info = runner.message_hub.runtime_info
        kept = [self.filename_tmpl.format(step) for step in info.get('keep_ckpt_ids') or []]
        kept += [
            os.path.basename(info[key]) for key in info if key.startswith(('best_ckpt', 'last_ckpt')) and info[key]
        ]
        backend = self.file_backend.backend if isinstance(self.file_backend, KeptFiles) else self.file_backend
        remove_outdated(backend, self.out_dir, info.get(_OUTDATED) or [] if names is None else names, kept)

    def _can_save(self, runner: Runner) -> bool:
        """Whether the state can be saved as it is: what several processes have summed up for a step cannot."""
        return get_world_size() == 1 or is_sharded(runner.model) or not steps_are_pending(runner.optim_wrapper)

    def _stop(self, runner: Runner, stopped_by: Any, meta: dict, together: bool = True) -> None:
        """Save if there is no checkpoint of this moment, and end the run.

        Args:
            runner: The runner.
            stopped_by: The signal.
            meta: Epoch and iteration of the checkpoint.
            together: Whether all processes are here.
        """
        if self._saved_iter != meta['iter'] and (together or is_main_process()):
            filename = f'iter_{meta["iter"]}.pth'
            if not together and can_save_whole(runner, self.file_backend):
                runner.save_checkpoint = save_whole(runner, lambda: self.last_ckpt, together=False)
            self._save(runner, filename, meta, {_OUTDATED: self._stopped(runner), _STOPPED: filename})
        _log(
            f'Stopped by {stopped_by.name} after iteration {meta["iter"]}; the state is in '
            f'{self.last_ckpt}. To go on: {resume_command()}',
            logging.WARNING,
        )
        runner.call_hook('after_run')
        if together:
            # Launchers end the others as soon as one has ended.
            barrier()
        raise StoppedBySignal(stopped_by)


def _validates(runner: Runner, step: int, last: int) -> bool:
    """Whether a loop of mmengine validates after an epoch or an iteration (from 1)."""
    loop = runner.train_loop
    if runner.val_loop is None or step < loop.val_begin:
        return False
    # Loops choose their interval when they have counted the step.
    interval = loop.dynamic_intervals[bisect.bisect(loop.dynamic_milestones, step + 1) - 1]
    return step % interval == 0 or step == last


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger='current', level=level)


@contextmanager
def handle_signals_as_before(runner: Runner) -> Iterator[None]:
    """Whatever ends a training within, signals are then handled as before it."""
    try:
        yield
    finally:
        for hook in runner.hooks:
            if isinstance(hook, WholeCheckpointHook):
                hook.signals.restore()


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
    if is_sharded(runner.model):
        broken = next((one for one in all_gather_object(broken) if one is not None), None)
    if broken is not None:
        raise NonFiniteError(
            f'After iteration {runner.iter + 1} {broken} holds numbers that are not finite, so no checkpoint is '
            f'written; {last_checkpoint(runner)}. Lower the learning rate or clip gradients (optim_wrapper.clip_grad).'
        )


def _non_finite(model: nn.Module) -> Iterator[str]:
    for name, parameter in model.named_parameters():
        if not local_part(parameter).isfinite().all():
            yield f'the weight {name}'
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and buffer.isnan().any():
            yield f'the buffer {name}'


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    """Gradients that wait for a step, on the CPU."""
    if is_sharded(model):
        return model.whole_gradients
    parameters = bare_model(model).named_parameters()
    return {name: parameter.grad.cpu() for name, parameter in parameters if parameter.grad is not None}


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
