"""Models and runners from configs."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.registry import MODELS, RUNNERS, init_default_scope
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvitdense.datasets.bad_images import guard_images
from mmvitdense.datasets.scored_images import ScoreShownImagesHook
from mmvitdense.engine import RestoreFrozenHook

from .errors import InputError
from .pixels import warn_of_loaded_pixels, warn_of_pixels


def enter_scope(cfg: Any) -> None:
    """Let the library of a config, mmdet or mmseg, build what the config names without saying whose it is."""
    scope = cfg.get('default_scope')
    if scope is None:
        raise InputError("The config has no default_scope; expected 'mmdet' or 'mmseg' (it decides who builds what).")
    init_default_scope(scope)


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
    return MODELS.build(model)


def build_runner(cfg: Any, model: nn.Module | None = None, max_bad_images: int | None = None) -> Runner:
    """Build the runner of a config.

    Its data sets name the images that cannot be read, and its detectors are scored on the images that are shown.

    Args:
        cfg: The config.
        model: A model that is already built, to run in the place of the config's.
        max_bad_images: How many images training may replace because they cannot be read; by default 1 % of them.
    """
    if model is None:
        warn_of_pixels(cfg)
    runner_class = RUNNERS.get(cfg.get('runner_type', 'Runner'))

    class GuardedRunner(runner_class):
        _building_training = _pixels_compared = False

        def build_model(self, described: Any) -> nn.Module:
            return super().build_model(described) if model is None else model

        def build_train_loop(self, loop: Any) -> BaseLoop:
            self._building_training = True
            try:
                return super().build_train_loop(loop)
            finally:
                self._building_training = False

        def build_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
            loader = super().build_dataloader(*args, **kwargs)
            guard_images(loader.dataset, max_bad_images, training=self._building_training)
            return loader

        def load_or_resume(self) -> None:
            if not self._pixels_compared:  # the weights of the ViTs are initialised by now
                warn_of_loaded_pixels(self.model, cfg)
            self._pixels_compared = True
            super().load_or_resume()

        def scale_lr(self, optim_wrapper: Any, auto_scale_lr: dict | None = None) -> None:
            super().scale_lr(optim_wrapper, _for_summed_gradients(optim_wrapper, auto_scale_lr))

    runner = GuardedRunner.from_cfg(cfg)
    runner.register_hook(RestoreFrozenHook())
    if cfg.get('default_scope') == 'mmdet':
        runner.register_hook(ScoreShownImagesHook())
    return runner


def _for_summed_gradients(optim_wrapper: Any, auto_scale_lr: dict | None) -> dict | None:
    """Let `base_batch_size` be that of one batch, `accumulative_counts` of which make a step of the optimizer.

    mmengine compares it with the size of one batch, although the gradients of several are averaged for a step.
    """
    counts = getattr(optim_wrapper, '_accumulative_counts', 1)
    if counts == 1 or not (auto_scale_lr or {}).get('enable'):
        return auto_scale_lr
    return {**auto_scale_lr, 'base_batch_size': auto_scale_lr['base_batch_size'] / counts}
