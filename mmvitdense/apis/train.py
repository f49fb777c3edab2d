"""Training, for detection and segmentation alike."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.runner import Runner

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_data

from .amp import amp_for_device, enable_amp
from .build import build_model, build_runner
from .checkpoint import load_model_weights
from .config import load_config, option_notes, set_work_dir, unused_notes
from .errors import InputError
from .initial_weights import check_initial_weights
from .launch import on_main_process, start_process_group
from .repeatable import add_training_hooks, fix_seed
from .resume import latest_checkpoint, set_resume
from .sync_bn import sync_bn_to_bn


@while_tools_run()
def train_model(
    config: Any,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = 'none',
    check_images: str = 'sample',
    max_bad_images: int | None = None,
) -> Runner:
    """Train the model of a config; everything is checked before anything is written.

    Args:
        config: Path, `mmvitdense::family/name.py`, or `Config`.
        work_dir: Where checkpoints and logs go; by default the field of the config, else `./work_dirs/<config name>`.
        resume: 'auto' for the latest checkpoint of the work dir, or the path of a checkpoint.
        amp: Mixed precision: with loss scaling on GPUs, bfloat16 on CPUs.
        auto_scale_lr: Scale the learning rate by the real batch size, `optim_wrapper.accumulative_counts` included,
            over `auto_scale_lr.base_batch_size`.
        cfg_options: {dotted key: value} merged into the config.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        check_images: Which images to decode before the run, a 'sample' or 'all'.
        max_bad_images: How many images may be replaced by others because they cannot be read; by default 1 % of those
            that the check did not see.

    Returns:
        The runner, after training.

    Raises:
        InputError, DataError, CheckpointError: something given cannot be used; no work dir was made then.
        NonFiniteError: the loss became NaN or infinite.
    """
    if (max_bad_images or 0) < 0:
        raise InputError(f'--max-bad-images must be at least 0, got {max_bad_images}.')
    cfg = load_config(config, cfg_options)
    set_work_dir(cfg, work_dir, config)
    set_resume(cfg, resume)
    notes = option_notes(cfg_options) + unused_notes(cfg) + _apply_options(cfg, amp, auto_scale_lr)
    start_process_group(cfg, launcher)
    notes += adapt_to_machine(cfg)
    cfg.load_from, seed, found = on_main_process(lambda: _check(cfg, check_images == 'all', max_bad_images or 0))
    fix_seed(cfg, seed)
    add_training_hooks(cfg)
    runner = build_runner(cfg, max_bad_images=max_bad_images)
    log_notes(runner, notes + found)
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


def _apply_options(cfg: Any, amp: bool, auto_scale_lr: bool) -> list[str]:
    missing = [key for key in ('train_dataloader', 'train_cfg', 'optim_wrapper') if cfg.get(key) is None]
    if missing:
        raise InputError(f'{cfg.filename} cannot be trained: it has no {", ".join(missing)}.')
    if auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise InputError(
                f'--auto-scale-lr: {cfg.filename} does not say for which batch size its learning rate is meant; '
                'add auto_scale_lr = dict(base_batch_size=N).'
            )
        cfg.auto_scale_lr.enable = True
    return enable_amp(cfg) if amp else []


def _check(cfg: Any, every_image: bool, bad_images: int) -> tuple[str | None, int | None, list[str]]:
    """Check the checkpoint to start from and the data; return that checkpoint, the seed of its run, and log lines."""
    check_initial_weights(cfg)
    resume, checkpoint, notes, seed = bool(cfg.get('resume')), cfg.get('load_from'), [], None
    if resume and checkpoint is None:
        checkpoint, notes = latest_checkpoint(cfg.work_dir)
    if checkpoint is not None:
        content = load_model_weights(build_model(cfg), checkpoint, strict=resume)
        if resume and 'optimizer' not in content:
            raise CheckpointError(
                f'{checkpoint} has weights but not the state of a training run, so nothing can be resumed from it; '
                f'start from its weights with --cfg-options load_from={checkpoint}.'
            )
        seed = content['meta'].get('seed') if resume else None
    check_data(cfg, every_image=every_image, bad_images=bad_images)
    return checkpoint, seed, notes
