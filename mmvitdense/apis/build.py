"""Models and runners from configs."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.registry import MODELS, RUNNERS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from .errors import InputError


def enter_scope(cfg: Any) -> None:
    """Let the library of a config, mmdet or mmseg, build what the config names without saying whose it is."""
    scope = cfg.get('default_scope')
    if scope is None:
        raise InputError("The config has no default_scope; expected 'mmdet' or 'mmseg' (it decides who builds what).")
    init_default_scope(scope)


def build_model(cfg: Any) -> nn.Module:
    """Build the model of a config on the CPU, with random weights, as the runner would build it."""
    enter_scope(cfg)
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return MODELS.build(model)


def build_runner(cfg: Any, model: nn.Module | None = None) -> Runner:
    """Build the runner of a config, around a model that is already built if one is given."""
    runner_class = RUNNERS.get(cfg.get('runner_type', 'Runner'))
    if model is None:
        return runner_class.from_cfg(cfg)

    class RunnerOfModel(runner_class):
        def build_model(self, _: Any) -> nn.Module:
            return model

    return RunnerOfModel.from_cfg(cfg)
