"""Models and runners from configs."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.registry import MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from mmvitdense.datasets.scored_images import ScoreShownImagesHook
from mmvitdense.engine import RestoreFrozenHook
from mmvitdense.engine.evaluation_progress import EvaluationProgressHook

from .build_errors import building, nearest
from .errors import InputError
from .pixels import warn_of_pixels
from .prepared_run import PreparedRun
from .run_log import current_log


def enter_scope(cfg: Any) -> None:
    """Let the library of a config, mmdet or mmseg, build what the config names without saying whose it is."""
    scope = cfg.get('default_scope')
    if scope is None:
        raise InputError("The config has no default_scope; expected 'mmdet' or 'mmseg' (it decides who builds what).")
    _check_scope(scope)
    init_default_scope(scope)


def _check_scope(scope: Any) -> None:
    if not isinstance(scope, str) or importlib.util.find_spec(scope) is None:
        known = {'mmdet', 'mmseg', 'mmpretrain', 'mmengine', 'mmvitdense'}
        hint = nearest(scope, known) if isinstance(scope, str) else ''
        raise InputError(f'default_scope: no library {scope!r} is installed{hint or ", expected mmdet or mmseg."}')


def predict_labels_alone(cfg: Any) -> None:
    """Let a segmentor with windows give label maps without scores, in place, unless the config says otherwise.

    The scores of all classes at the size of a large image are gigabytes, and nothing of a test or a picture reads them.
    """
    if cfg.get('default_scope') == 'mmseg' and cfg.model.get('test_cfg'):
        cfg.model.test_cfg.setdefault('keep_logits', False)


def build_model(cfg: Any) -> nn.Module:
    """Build the model of a config on the CPU, with random weights, as the runner would build it."""
    enter_scope(cfg)
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    warn_of_pixels(cfg)
    with building('model', cfg.model):
        return MODELS.build(model)


def build_runner(
    cfg: Any,
    model: nn.Module | None = None,
    max_bad_images: int | None = None,
    trains: bool = True,
    tried: bool = True,
    before_writing: Callable[[Runner], Any] | None = None,
    only_prepared: bool = False,
    given_datasets: Mapping[str, Any] | None = None,
) -> Runner:
    """Build the runner of a config with all its parts, before anything is written (see `PreparedRun`).

    Its data sets name the images that cannot be read, and its detectors are scored on the images that are shown.

    Args:
        cfg: The config.
        model: A model that is already built, to run in the place of the config's.
        max_bad_images: How many images training may replace because they cannot be read; by default 1 % of them.
        trains: Whether the run trains, or tests.
        tried: Whether the loss of a first batch is computed, and a prediction made.
        before_writing: Called with the runner when all is built, before the first file is written.
        only_prepared: Whether to build its parts alone: nothing is written, and it cannot run; call `forget` after use.
        given_datasets: Data sets that are already built, by 'train' and 'val'.

    Raises:
        InputError: With the place in the config of what cannot be built; no work dir was made then.
    """
    if model is None:
        warn_of_pixels(cfg)
    if cfg.get('default_scope') is not None:
        enter_scope(cfg)
    with building('runner_type', cfg.get('runner_type')):
        runner_class = RUNNERS.get(cfg.get('runner_type', 'Runner'))
    if runner_class is None:
        raise InputError(f'runner_type: no class {cfg.runner_type!r} is registered; mmengine has Runner.')
    attributes = {
        'given_model': model,
        'max_bad_images': max_bad_images,
        'trains': trains,
        'tried': tried,
        'log': current_log(),
        'before_writing': before_writing and staticmethod(before_writing),
        'only_prepared': only_prepared,
        'given_datasets': given_datasets or {},
    }
    attributes['log'].set_level(cfg.get('log_level', 'INFO'))
    runner = type('PreparedRunner', (PreparedRun, runner_class), attributes).from_cfg(cfg)
    if only_prepared:
        return runner
    runner.register_hook(RestoreFrozenHook())
    runner.register_hook(EvaluationProgressHook())
    if cfg.get('default_scope') == 'mmdet':
        runner.register_hook(ScoreShownImagesHook())
    return runner
