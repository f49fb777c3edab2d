"""What a run is about to do, in one screen."""

from __future__ import annotations

import logging
import textwrap
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.runner import Runner

from mmvitdense.engine.whole_checkpoint import bare_model, single_wrappers

from . import plan_lines
from .adapt import Adapted, expect, prepared, refuse_other_runners, trial_of
from .errors import InputError
from .first_batch import batch_size_of

_WIDTH = 100


def training_plan(runner: Runner, started_from: str | None, resumed: bool, adapted: Adapted | None = None) -> str:
    """Say what a training is about to do.

    Args:
        runner: The runner, all parts of which are built.
        started_from: A checkpoint, if the run starts from one.
        resumed: Whether it goes on with the run of that checkpoint.
        adapted: What `--auto` changed, and what the run is expected to take; None where neither was asked for.
    """
    model = bare_model(runner.model)
    expected = adapted.expected if adapted is not None else None
    loader = runner.train_loop.dataloader
    lines = {'model': plan_lines.model_line(model), 'training data': plan_lines.data_line(loader)}
    if runner._val_loop is not None:
        lines['validation data'] = plan_lines.data_line(runner.val_loop.dataloader, loader)
    lines |= {
        'batch': plan_lines.batch_line(runner),
        'length': plan_lines.length_line(runner),
        'optimizer': plan_lines.optimizer_line(runner),
        'schedule': plan_lines.schedule_line(runner),
        'precision': plan_lines.precision_line(runner, model),
        'kept': plan_lines.kept_line(runner),
        'memory': plan_lines.memory_line(runner, model, expected),
        'device': plan_lines.device_line(),
        'starts from': plan_lines.start_line(model, started_from, resumed),
        'writes to': f'{runner.work_dir} (details: {_log_file(runner)})',
    }
    if runner.only_prepared:
        lines['writes to'] = f'{runner.work_dir}, not now'
    if adapted is not None and (adapted.changes or adapted.expected or runner.only_prepared):
        lines['time'] = plan_lines.time_line(runner, expected)
        changes = [f'- {change}' for change in adapted.changes]
        lines['changed'] = changes or 'nothing of the recipe'
    return _listed('Training', lines, runner)


def print_plan(cfg: Any, adapted: Adapted, probe: bool, max_bad_images: int | None, notes: list[str]) -> None:
    """Print what a run would do, in the first process of several; nothing is written.

    Args:
        cfg: The config, all checked and adapted.
        adapted: What `--auto` has done.
        probe: Whether to try a few steps, where that was not done.
        max_bad_images: As for `build_runner`.
        notes: Lines that come first.

    Raises:
        InputError: The batch does not fit into the memory.
    """
    refuse_other_runners(cfg)
    with prepared(cfg, max_bad_images, tried=True, level=logging.WARNING) as runner:
        trial = trial_of(runner) if probe and adapted.expected is None else None
        if trial is not None:
            counts = max(wrapper._accumulative_counts for wrapper in single_wrappers(runner.optim_wrapper))
            measured = trial.train(batch_size_of(runner.train_loop.dataloader), accumulated=counts > 1)
            if measured is None:
                raise InputError(
                    'A batch of this config does not fit into the memory: lower train_dataloader.batch_size, or let '
                    '--auto choose it.'
                )
            adapted.expected = expect(trial, measured)
        text = '\n'.join([*notes, training_plan(runner, cfg.load_from, bool(cfg.get('resume')), adapted)])
    if get_rank() == 0:
        print(text, flush=True)


def test_plan(runner: Runner, model: str, checkpoint: str | Path, outputs: dict[str, Any]) -> str:
    """Say what an evaluation is about to do.

    Args:
        runner: The runner.
        model: The line of the model, as it is built: augmentation wraps it, and fusing packs its parameters.
        checkpoint: The weights that are evaluated.
        outputs: {option: where it writes, or None}.
    """
    loader = runner.test_loop.dataloader
    lines = {
        'model': model,
        'weights': str(checkpoint),
        'test data': plan_lines.data_line(loader),
        'batch': f'{loader.batch_size} images x {get_world_size()} process(es)',
        'metrics': ', '.join(type(metric).__name__ for metric in runner.test_evaluator.metrics),
        'device': plan_lines.device_line(),
        **{name: str(path) for name, path in outputs.items() if path is not None},
        'writes to': f'{runner.work_dir} (details: {_log_file(runner)})',
    }
    return _listed('Test', lines, runner)


def _listed(title: str, lines: dict[str, str | list[str]], runner: Runner) -> str:
    seconds = getattr(runner, 'seconds_of_preparation', None)
    if seconds is not None and not runner.only_prepared:
        all_tried = runner.batch_tried or not runner.trains
        tried = 'and tried ' if all_tried else '(but no batch was tried, as there are several processes) '
        lines['checked'] = f'all of this was built {tried}in {seconds:.1f} s before anything was written'
    if 'changed' in lines:
        lines['changed'] = lines.pop('changed')  # the last
    width = max(map(len, lines))
    rows = [title]
    for name, texts in lines.items():
        for number, text in enumerate([texts] if isinstance(texts, str) else texts):
            rows.append(_wrapped('' if number else name, width, text))
    return '\n'.join(rows)


def _wrapped(name: str, width: int, text: str) -> str:
    start = f'  {name:{width}}  '
    inner = ' ' * (len(start) + 2 * text.startswith('- '))
    return textwrap.fill(
        text, _WIDTH, initial_indent=start, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False
    )


def _log_file(runner: Runner) -> str:
    return str(Path(runner.logger.log_file).relative_to(runner.work_dir)) if runner.logger.log_file else 'none'
