"""Evaluation, for detection and segmentation alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.checks import check_data
from mmvitdense.engine.show import ShowHook
from mmvitdense.whole_files import written_whole

from .amp import check_amp_type, enable_test_amp, precision, tf32_notes
from .augmented import augment_tests, augmented_model
from .build import build_model, build_runner, predict_labels_alone
from .class_scores import class_scores
from .config import option_notes, set_work_dir, unused_notes
from .errors import InputError
from .files import check_output_file, check_output_folder, check_score_thr, write_json
from .fusing import fuse_for_inference
from .image_loading import loading_of
from .launch import on_main_process, start_process_group
from .named_models import find_config, with_weights
from .plan import test_plan
from .plan_lines import model_line
from .run_log import run_log
from .run_parts import check_parts
from .train import adapt_to_machine, log_notes


@while_tools_run()
@run_log(tables=True)
def evaluate_model(
    config: Any,
    checkpoint: str | Path | None = None,
    work_dir: str | None = None,
    out: str | None = None,
    json_file: str | None = None,
    show_dir: str | None = None,
    show_interval: int = 1,
    score_thr: float = 0.3,
    cfg_options: dict[str, Any] | None = None,
    launcher: str = 'none',
    check_images: str = 'sample',
    tta: bool = False,
    trunk: str | Path | None = None,
    watch: Callable[[Runner], AbstractContextManager] | None = None,
    amp: bool | str = False,
    tf32: bool = False,
    fuse: bool = False,
) -> dict[str, float]:
    """Evaluate a checkpoint on the test set of a config.

    Args:
        config: A name of the zoo, a path, `mmvitdense::family/name.py`, `Config`, or a checkpoint with its config.
        checkpoint: Path or address of the weights, in any layout that is known; all of them must fit the model. By
            default those that are published for the config.
        work_dir: Where the log goes; by default the field of the config, else `./work_dirs/<config name>`.
        out: A .pkl for the predictions: a list with a dict for each image; instance masks as RLE, segmentation
            without logits. Files of this kind run what is in them when they are loaded: load none that is not yours.
        json_file: A .json for the metrics, {name: number}, with the names that mmengine prints; for a segmentation also
            the scores of each class, as `IoU.<class>`, null where a class does not occur.
        show_dir: A folder for pictures, labels on the left and predictions on the right.
        show_interval: Draw every n-th image.
        score_thr: Draw detections with at least this score.
        cfg_options: {dotted key: value} merged into the config.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        check_images: Which images to decode before the run, a 'sample' or 'all'.
        tta: Predict several views of each image, by `tta_pipeline` and `tta_model` of the config; for a segmentor
            whose config has none, by six sizes and their mirror images.
        trunk: The file of the ViT, for weights without it or with differences to it, see `load_model_weights`.
        watch: Called with the runner; the test runs inside of the context that it gives.
        amp: Mixed precision, 'float16' (which True means) or 'bfloat16'; on CPUs always bfloat16.
        tf32: Let products of matrices in float32 round to TF32 on NVIDIA GPUs, as torch lets convolutions.
        fuse: On a CPU, let the faster copy of the model predict that `Inferencer` makes, whose outputs are within 1e-5
            of the model's; with `amp` that in bfloat16. See `fuse_for_inference`.

    Returns:
        The metrics.

    Raises:
        InputError, DataError, CheckpointError: something given cannot be used; nothing was written then.
    """
    _check_outputs(out, json_file, show_dir)
    _check_drawing(show_dir, show_interval, score_thr)
    if fuse:
        _check_fusing(launcher, amp)
    cfg, entry = find_config(config, cfg_options)
    if cfg.get('test_dataloader') is None or cfg.get('test_evaluator') is None:
        raise InputError(f'{cfg.filename} cannot be tested: it has no test_dataloader or no test_evaluator.')
    check_parts(cfg)
    set_work_dir(cfg, work_dir, config)
    cfg.load_from, cfg.resume = None, False
    start_process_group(cfg, launcher)
    if tta:
        notes = augment_tests(cfg)
    else:
        notes = []
        predict_labels_alone(cfg)
    notes += option_notes(cfg_options) + unused_notes(cfg, tta) + adapt_to_machine(cfg) + tf32_notes(tf32)
    if amp and not fuse:
        notes += enable_test_amp(cfg, None if amp is True else amp)
    on_main_process(lambda: check_data(cfg, splits=('test',), every_image=check_images == 'all'))
    found = with_weights(config, cfg, entry, checkpoint, trunk)
    model = build_model(cfg)
    found.load_weights(model)
    described = model_line(model)
    if fuse:
        stored = 'bfloat16' if amp else 'float32'
        model = fuse_for_inference(model, stored)
        described += f', fused for this CPU in {stored}'
    if tta:
        model = augmented_model(cfg, model)
        described += f', views merged by {type(model).__name__}'
    runner = build_runner(cfg, model, trains=False)
    log_notes(runner, notes)
    outputs = {'predictions': out, 'metrics': json_file, 'pictures': show_dir}
    runner.logger.info(test_plan(runner, described, found.source, outputs))
    if show_dir is not None:
        runner.register_hook(ShowHook(show_dir, _read_image, show_interval, score_thr))
    watched = nullcontext() if watch is None else watch(runner)
    scores = class_scores(runner.test_evaluator)
    with precision(amp, tf32), _predictions_to(runner, cfg, out), scores as of_classes, watched:
        metrics = {name: round(float(value), 6) for name, value in runner.test().items()}
    if json_file is not None and is_main_process():
        write_json(json_file, metrics | of_classes)
    return metrics


def _read_image(dataset: Any, place: int) -> np.ndarray:
    return loading_of(dataset, place)()


def _check_drawing(show_dir: str | None, show_interval: int, score_thr: float) -> None:
    if show_dir is None and (show_interval, score_thr) != (1, 0.3):
        raise InputError('--show-interval and --score-thr say what to draw: add --show-dir, the folder for it.')
    if show_interval < 1:
        raise InputError(f'--show-interval must be at least 1, got {show_interval}.')
    check_score_thr(score_thr)


def _check_fusing(launcher: str, amp: bool | str) -> None:
    """Refuse fusing where a model is not run by one process on a CPU."""
    check_amp_type(None if amp is True or not amp else amp)
    if (device := get_device()) != 'cpu':
        raise InputError(f'--fuse makes models faster on a CPU, and this test runs on {device}: leave it out.')
    if launcher != 'none':
        raise InputError(f'--fuse is for one process, and --launcher {launcher} has several: leave one of them out.')


def _check_outputs(out: str | None, json_file: str | None, show_dir: str | None) -> None:
    """Refuse before the evaluation what could not be written after it."""
    if out is not None and Path(out).suffix not in ('.pkl', '.pickle'):
        raise InputError(f'--out {out}: expected a file name that ends with .pkl or .pickle.')
    if None not in (out, json_file) and Path(out).absolute() == Path(json_file).absolute():
        raise InputError(f'--out and --json are the same file {out}; expected two.')
    for path, option in ((out, '--out'), (json_file, '--json')):
        if path is not None:
            check_output_file(path, option)
    if show_dir is not None:
        check_output_folder(show_dir, '--show-dir')


@contextmanager
def _predictions_to(runner: Runner, cfg: Any, out: str | None) -> Iterator[None]:
    """Collect predictions during a test in `out`, which appears when the test has ended well."""
    if out is None:
        yield
        return
    if is_main_process():
        with written_whole(out) as temporary:
            runner.test_evaluator.metrics.append(_dump_metric(cfg, str(temporary)))
            yield
        runner.logger.info(f'Predictions written to {out}')
    else:
        runner.test_evaluator.metrics.append(_dump_metric(cfg, out))
        yield
    barrier()


def _dump_metric(cfg: Any, path: str) -> BaseMetric:
    if cfg.get('default_scope') == 'mmdet':
        from mmdet.evaluation import DumpDetResults

        return DumpDetResults(out_file_path=path)
    from .dump import DumpLabelMaps

    return DumpLabelMaps(out_file_path=path)
