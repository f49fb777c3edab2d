"""Training, for detection and segmentation alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from mmengine.runner import Runner

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_data
from mmvitdense.engine.latest_checkpoint import NOTE
from mmvitdense.engine.run_lock import NAME, refuse_work_dir_in_use
from mmvitdense.engine.same_training import compare_training
from mmvitdense.engine.whole_checkpoint import handle_signals_as_before
from mmvitdense.engine.work_dir import checkpoint_folders, folders_locked

from .adapt import BATCH_AND_LENGTH, FIELD, LENGTHS, Adapted, Given, adapt_config, adapt_precision, adapted_before
from .amp import amp_for_device, enable_amp, precision, tf32_notes
from .build import build_model, build_runner
from .checkpoint import load_model_weights, read_run_checkpoint
from .config import load_config, option_notes, set_work_dir, unused_notes, with_fragments
from .errors import InputError
from .files import check_output_files
from .initial_weights import check_initial_weights
from .launch import on_main_process, sharding_notes, start_process_group
from .named_models import find_config, weights_file
from .plan import print_plan, training_plan
from .repeatable import add_training_hooks, fix_seed
from .resume import latest_checkpoint, set_resume
from .run_log import run_log
from .run_parts import check_parts
from .sync_bn import sync_bn_to_bn
from .tensorboard import add_tensorboard


@while_tools_run()
@run_log()
def train_model(
    config: Any,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool | str = False,
    auto_scale_lr: bool = False,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = 'none',
    check_images: str = 'sample',
    max_bad_images: int | None = None,
    tensorboard: bool = False,
    tf32: bool = False,
    auto: bool = False,
    plan: bool = False,
    probe: bool = True,
    fragments: Sequence[str] = (),
) -> Runner | None:
    """Train the model of a config; everything is checked before anything is written.

    Args:
        config: A name of the zoo, a path, `mmvitdense::family/name.py`, or `Config`. Its `load_from` may be a name of
            the zoo, and a file that its authors published.
        work_dir: Where checkpoints and logs go; by default the field of the config, else `./work_dirs/<config name>`.
        resume: 'auto' for the latest checkpoint of the work dir, or the path of a checkpoint.
        amp: Mixed precision: 'float16', with loss scaling, or 'bfloat16'; True leaves the type to the config, float16
            where it names none. On CPUs always bfloat16.
        auto_scale_lr: Scale the learning rate by the real batch size, `optim_wrapper.accumulative_counts` included,
            over `auto_scale_lr.base_batch_size`.
        cfg_options: {dotted key: value} merged into the config.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        check_images: Which images to decode before the run, a 'sample' or 'all'.
        max_bad_images: How many images may be replaced by others because they cannot be read; by default 1 % of those
            that the check did not see.
        tensorboard: Write events for TensorBoard as well.
        tf32: Let products of matrices in float32 round to TF32 on NVIDIA GPUs, as torch lets convolutions.
        auto: Adapt batch, accumulation, rate, schedule, precision and what is kept to the machine and the data, except
            what `cfg_options` give. A run that is resumed keeps the plan of its work dir.
        plan: Print what the run would do and expects to take, and stop; nothing is written.
        probe: Whether `auto` and `plan` try a few steps. Without them the batch is that of the config, and memory and
            time are not measured.
        fragments: Config files whose fields are merged into the config, such as `mmvitdense::_base_/fsdp.py`.

    Returns:
        The runner, after training; None for a plan.

    Raises:
        InputError, DataError, CheckpointError: something given cannot be used; no work dir was made then.
        WorkDirInUseError: another run trains in the work dir.
        NonFiniteError: the loss became NaN or infinite.
        SavingError: a checkpoint cannot be written.
        LoadingError: a sample cannot be loaded, or a process that loads data hangs.
        StoppedBySignal: the run was stopped by SIGTERM or Ctrl-C, and its state saved.
    """
    if (max_bad_images or 0) < 0:
        raise InputError(f'--max-bad-images must be at least 0, got {max_bad_images}.')
    if not (probe or auto or plan):
        raise InputError('--no-probe goes with --auto or --plan, which try steps: give one of them, or leave it out.')
    if fragments:
        config = with_fragments(find_config(config)[0], fragments)
    cfg, _ = find_config(config, cfg_options)
    missing = [key for key in ('train_dataloader', 'train_cfg', 'optim_wrapper') if not cfg.get(key)]
    if missing:
        raise InputError(f'{cfg.filename} cannot be trained: it has no {", ".join(missing)}.')
    check_parts(cfg)
    if tensorboard:
        add_tensorboard(cfg)
    set_work_dir(cfg, work_dir, config)
    initial = cfg.get('load_from')
    kept = adapted_before(cfg, resume, auto)
    if kept is not None:
        cfg = _goes_on(kept, cfg, cfg_options)
    set_resume(cfg, resume)
    notes = option_notes(cfg_options) + unused_notes(cfg) + tf32_notes(tf32)
    if kept is None:
        notes += _apply_options(cfg, amp, auto_scale_lr)
    start_process_group(cfg, launcher)
    notes += sharding_notes(cfg)
    given = Given({*(cfg_options or {}), *(['optim_wrapper.type'] if amp else [])})
    changes = adapt_precision(cfg, given) if auto and kept is None else []
    notes += adapt_to_machine(cfg)
    every_image = check_images == 'all'
    cfg.resume, cfg.load_from, seed, found = on_main_process(
        lambda: _check(cfg, initial, every_image, max_bad_images or 0)
    )
    fix_seed(cfg, seed)
    add_training_hooks(cfg)
    adapted = Adapted(list((cfg.get(FIELD) or {}).get('changes', ())))
    if auto and kept is None:
        published = _published(cfg, config, cfg_options)
        with precision(None, tf32):
            adapted = adapt_config(cfg, published, given, changes, probe, max_bad_images)
    if plan:
        with precision(None, tf32):
            print_plan(cfg, adapted, probe, max_bad_images, notes + found)
        return None
    with ExitStack() as held:
        runner = build_runner(cfg, max_bad_images=max_bad_images, before_writing=partial(_begin, cfg, held))
        log_notes(runner, notes + found)
        runner.logger.info(training_plan(runner, cfg.load_from, bool(cfg.get('resume')), adapted))
        with handle_signals_as_before(runner), precision(None, tf32):
            runner.train()
    return runner


def adapt_to_machine(cfg: Any) -> list[str]:
    """Replace what this machine cannot run by what gives the same results, in place; return lines for the log."""
    from mmengine.device import get_device

    notes = amp_for_device(cfg)
    if cfg.launcher == 'none' or get_device() == 'cpu':
        notes += sync_bn_to_bn(cfg)
    return notes


def log_notes(runner: Runner, notes: list[str]) -> None:
    """Log what was changed or is worth knowing before the run starts."""
    for note in notes:
        runner.logger.log(logging.WARNING, note)


def _apply_options(cfg: Any, amp: bool | str, auto_scale_lr: bool) -> list[str]:
    if auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise InputError(
                f'--auto-scale-lr: {cfg.filename} does not say for which batch size its learning rate is meant; '
                'add auto_scale_lr = dict(base_batch_size=N).'
            )
        cfg.auto_scale_lr.enable = True
    return enable_amp(cfg, None if amp is True else amp) if amp else []


def _goes_on(kept: Any, cfg: Any, cfg_options: dict[str, Any] | None) -> Any:
    """The config of an adapted run that is resumed, with the work dir and the options that are given now.

    Raises:
        InputError: It is to be longer than its plan. A checkpoint holds the schedule, which ends with the plan.
    """
    planned, kept = kept, load_config(kept, cfg_options)
    for key in LENGTHS:
        before, now = (cfg.train_cfg.get(key.rpartition('.')[2]) for cfg in (planned, kept))
        if before is not None and now is not None and now > before:
            raise InputError(
                f'--cfg-options {key}={now}: the run was planned for {before} by --auto, and its learning rate comes '
                'to its end there; begin another run with its weights (--cfg-options load_from=CHECKPOINT, without '
                '--resume), or leave this option out.'
            )
    kept.work_dir, kept.load_from = cfg.work_dir, cfg.get('load_from')
    return kept


def _published(cfg: Any, config: Any, options: dict[str, Any] | None) -> Any:
    """The config without a batch and a length that were given: what its rate and its schedule are meant for."""
    if cfg.get('resume'):
        raise InputError(
            f'--auto: {cfg.load_from} is of a run without --auto, which goes on as it began: leave --auto out.'
        )
    kept = {key: value for key, value in (options or {}).items() if key not in BATCH_AND_LENGTH}
    return find_config(config, kept)[0]


def _begin(cfg: Any, held: ExitStack, runner: Runner) -> None:
    """Refuse a checkpoint of another training, and hold the folders of the run until `held` is closed."""
    if cfg.resume:
        on_main_process(lambda: compare_training(runner, read_run_checkpoint(cfg.load_from)))
    held.enter_context(folders_locked([cfg.work_dir, *_checkpoint_folders(cfg)]))


def _checkpoint_folders(cfg: Any) -> list[str]:
    return checkpoint_folders((cfg.get('default_hooks') or {}).get('checkpoint'), cfg.work_dir)


def _check(
    cfg: Any, initial: str | None, every_image: bool, bad_images: int
) -> tuple[bool, str | None, int | None, list[str]]:
    """Check the checkpoint to start from and the data.

    Args:
        cfg: The config.
        initial: What the run starts from if there is nothing to resume.
        every_image, bad_images: As for `check_data`.

    Returns:
        Whether a run is resumed, the checkpoint, the seed of its run, and log lines.
    """
    check_initial_weights(cfg)
    check_output_files(cfg.work_dir, (NAME, NOTE))
    resume, checkpoint, notes, seed = bool(cfg.get('resume')), cfg.get('load_from'), [], None
    folders = _checkpoint_folders(cfg)
    for folder in (cfg.work_dir, *folders):
        refuse_work_dir_in_use(folder)
    if resume and checkpoint is None:
        checkpoint, notes = latest_checkpoint(cfg.work_dir, folders)
        resume, checkpoint = checkpoint is not None, checkpoint or initial
    if checkpoint is not None:
        checkpoint = weights_file(checkpoint)
        content = load_model_weights(build_model(cfg), checkpoint, strict=resume)
        if resume and 'optimizer' not in content:
            raise CheckpointError(
                f'{checkpoint} has weights but not the state of a training run, so nothing can be resumed from it; '
                f'start from its weights with --cfg-options load_from={checkpoint}.'
            )
        seed = content['meta'].get('seed') if resume else None
    check_data(cfg, every_image=every_image, bad_images=bad_images)
    return resume, checkpoint, seed, notes
