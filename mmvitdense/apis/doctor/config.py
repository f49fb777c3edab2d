"""What the model of a config would take from a file, by fitting its weights to that model without memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmvitdense.apis.build import enter_scope
from mmvitdense.apis.build_errors import building
from mmvitdense.apis.config import load_config
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.pixels import differing_pixels, pixels_unlike_weights
from mmvitdense.checkpoints import CheckpointError, ViTPretrained, convert
from mmvitdense.checkpoints.files.conversion_record import guesses_as_text, read_record
from mmvitdense.checkpoints.fit.grids import has_record
from mmvitdense.checkpoints.fit.unconfirmed import unconfirmed
from mmvitdense.checkpoints.initializer import FittedWeights, LoadedWeights, unlike_as_text
from mmvitdense.compat import while_tools_run
from mmvitdense.layers import held_vit
from mmvitdense.models import PlainViT, TimmViT

from .source import WeightFile

_INITIALIZER = 'ViTPretrained'


@dataclass
class ConfigFit:
    """What a model would take from a file.

    Attributes:
        config: As it was given.
        part: Where in the model the weights go, such as 'backbone'.
        fits: Whether they can be loaded.
        verdict: One sentence.
        parameters: How many numbers that part has.
        loaded: How many of them come from the file.
        coverage: The same in percent.
        whole_model: Percent of all parameters of the model that come from a file with necks and heads, by
            `load_from`; None for other files.
        resized: Lines such as 'pos_embed 14x14 -> 64x64'.
        missing: Names of the part that the file has not, which stay as they start.
        left_over: Names of the file that the part has not.
        warnings: What would be computed otherwise than in the pre-training, or is not known.
    """

    config: str
    part: str = ''
    fits: bool = False
    verdict: str = ''
    parameters: int = 0
    loaded: int = 0
    coverage: float = 0.0
    whole_model: float | None = None
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@while_tools_run()
def fit_to_config(file: WeightFile, config: Any, cfg_options: Mapping[str, Any] | None = None) -> ConfigFit:
    """Fit a file to the part of a config's model that takes pre-trained weights.

    That is the part whose `init_cfg` is a `ViTPretrained`, with its options and this file, or else the backbone.

    Args:
        file: What `open_weights` read.
        config: As for `load_config`.
        cfg_options: {dotted key: value}, merged into the config.

    Raises:
        InputError: The config cannot be built, or has no part for a ViT's weights.
    """
    cfg = load_config(config, dict(cfg_options or {}))
    model = _model(cfg)
    part, module, options = _taker(model, str(config))
    found = ConfigFit(str(config), part, parameters=_count(module))
    initializer = ViTPretrained(**{**options, 'checkpoint': file.path})
    try:
        fitted = initializer.fitted(file.tensors, module)
    except CheckpointError as error:
        found.verdict = f'{file.name} does not fit {part} of {config}: {error}'
        return found
    found.fits = True
    names = dict(module.named_parameters())
    found.loaded = sum(names[name].numel() for name in fitted.weights if name in names)
    found.coverage = 100 * found.loaded / max(found.parameters, 1)
    report = fitted.report
    found.resized, found.missing, found.left_over = report.resized, report.missing, report.left_over
    found.warnings = list(_warnings(file, fitted, module, options.get('known', ())))
    vit = held_vit(module)
    families = read_record(file.path).get('families') or fitted.form.families(file.tensors)
    if families and not has_record(file.tensors):
        vit.loaded_weights = LoadedWeights(file.name, tuple(families))
    found.warnings += [*differing_pixels(cfg), *pixels_unlike_weights(model, cfg)]
    found.whole_model = _whole(file.tensors, model)
    found.verdict = _verdict(file, found)
    return found


def _model(cfg: Any) -> nn.Module:
    """The model of a config without memory."""
    enter_scope(cfg)
    settings = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    with building('model', cfg.model), torch.device('meta'):
        return MODELS.build(settings)


def _taker(model: nn.Module, config: str) -> tuple[str, nn.Module, dict[str, Any]]:
    """The part that takes the weights, by name, and the options of its initializer."""
    for name, module in model.named_modules():
        for init_cfg in _init_cfgs(module):
            if str(init_cfg.get('type')).rpartition('.')[2] == _INITIALIZER:
                return name, module, {key: value for key, value in init_cfg.items() if key != 'type'}
    backbone = dict(model.named_children()).get('backbone')
    if backbone is None or not isinstance(held_vit(backbone), (PlainViT, TimmViT)):
        kind = type(model).__name__ if backbone is None else type(backbone).__name__
        raise InputError(f'{config}: no part of the model takes the weights of a ViT (its backbone is a {kind}).')
    return 'backbone', backbone, {}


def _init_cfgs(module: nn.Module) -> Iterator[Mapping[str, Any]]:
    init_cfg = module.init_cfg if isinstance(module, BaseModule) else None
    for part in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(part, Mapping):
            yield part


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _warnings(file: WeightFile, fitted: FittedWeights, module: nn.Module, known: Any) -> Iterator[str]:
    if fitted.unlike:
        yield unlike_as_text(fitted.unlike)
    guesses = read_record(file.path).get('guesses') or unconfirmed(fitted.form, file.tensors, module, known)
    if guesses:
        yield f'the weights do not determine {len(guesses)} of the options of the model: {guesses_as_text(guesses)}'


def _whole(tensors: dict[str, Tensor], model: nn.Module) -> float | None:
    weights = convert(tensors)
    if not any(name.startswith('backbone.') for name in weights):
        return None
    taken = [p.numel() for name, p in model.named_parameters() if name in weights and weights[name].shape == p.shape]
    return 100 * sum(taken) / max(_count(model), 1)


def _verdict(file: WeightFile, found: ConfigFit) -> str:
    parts = [f'{share_as_text(found.coverage)} of its parameters come from the file']
    for count, one, several in (
        (len(found.resized), 'table is resized', 'tables are resized'),
        (
            len(found.missing),
            'weight starts as the model initialises it',
            'weights start as the model initialises them',
        ),
        (len(found.warnings), 'warning', 'warnings'),
    ):
        if count:
            parts.append(f'{count} {one if count == 1 else several}')
    return f'{file.name} fits {found.part} of {found.config}: {", ".join(parts)}.'


def share_as_text(percent: float) -> str:
    """A share in percent, cut instead of rounded, so that 100 % are all."""
    return f'{math.floor(percent * 100) / 100:.4g} %'
