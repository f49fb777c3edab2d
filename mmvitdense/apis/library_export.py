"""Weights of a `PlainViT` for other libraries, and how these open them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmvitdense.apis.errors import InputError
from mmvitdense.checkpoints import CheckpointError, fit_to_vit, read_file
from mmvitdense.checkpoints.files.reading import local_path
from mmvitdense.checkpoints.fit.grids import grids_of_record
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.parts.adapter_parts import holds_adapter
from mmvitdense.checkpoints.formats.recorded import NOT_IN_WEIGHTS
from mmvitdense.checkpoints.targets.choice import as_weights_show, choose_target
from mmvitdense.checkpoints.targets.contract import Target
from mmvitdense.models.backbones import PlainViT
from mmvitdense.models.backbones.presets import preset_options
from mmvitdense.models.backbones.resolved_options import resolved_options

_BACKBONE = 'backbone.'
_SIZES = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(PlainViT).parameters.items()}


@dataclass
class LibraryExport:
    """The model of another library that weights are written for.

    Attributes:
        target: What it is.
        options: All options of the `PlainViT`.
        arguments: Those of the model; for transformers what config.json has.
        names: Of the weights of the ViT.
        notes: What its user has to know.
        not_in_weights: Those of the options that the file has to record, `NOT_IN_WEIGHTS`.
    """

    target: Target
    options: Mapping[str, Any]
    arguments: dict[str, Any]
    names: frozenset[str]
    notes: list[str]
    not_in_weights: dict[str, Any]

    @property
    def library(self) -> str:
        """One of `LIBRARIES`."""
        return self.target.library

    def write(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of the model, given those of this project, or of a part of them."""
        return self.target.write(_taken(weights, self.names, self.target), self.options)

    def opening(self, path: str | os.PathLike) -> str:
        """The code that opens what was written."""
        return self.target.opening(os.fspath(path), self.arguments)


def export_to(
    library: str,
    weights: Mapping[str, Tensor],
    options: Mapping[str, Any] | None,
    source: str | Path,
    given: Mapping[str, Any],
) -> LibraryExport:
    """Find the model of a library for weights.

    Args:
        library: One of `LIBRARIES`.
        weights: By the names of this project; large ones may be on the meta device.
        options: Of their `PlainViT`, as its layout tells them; None where it does not.
        source: The file, whose config or record tells the options then.
        given: What the user gives; it wins.

    Raises:
        CheckpointError: The library has no such model, or the options are not those of the weights.
        InputError: Nothing tells the options.
    """
    if holds_adapter(weights):
        raise CheckpointError(
            f'{library} has neither ViT-CoMer nor ViT-Adapter, with which the ViT of {source} was trained: a PlainViT '
            'alone can be written for it'
        )
    known = {**_known_options(options, source, bool(given)), **given}
    if preset := known.pop('preset', None):
        known = preset_options(preset, known)
    vit = _of_backbone(weights)
    names = _names_of_vit(vit, known, source)
    own = {name: vit[name] for name in names}
    resolved = as_weights_show(resolved_options(known), own)
    defaults = resolved_options({name: resolved[name] for name in _SIZES})
    target = choose_target(library, own, resolved, defaults)
    taken = _taken(weights, names, target)
    arguments = target.arguments(resolved, taken)
    notes = [*target.notes(resolved), *_note_of_positions(target, resolved)]
    left = [name for name in _around(weights) if not name.startswith(target.carries or ('\0',))]
    if left:
        notes.append(f'{len(left)} weights around the ViT are left out, first {left[0]}')
    full = {**_DEFAULTS, **known, 'num_heads': resolved['num_heads']}
    return LibraryExport(target, resolved, arguments, names, notes, {name: full[name] for name in NOT_IN_WEIGHTS})


def _of_backbone(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    inside = {n.removeprefix(_BACKBONE): x for n, x in weights.items() if n.startswith(_BACKBONE)}
    return inside or dict(weights)


def _around(weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the neck and heads of a whole model."""
    names = [name for name in weights if not name.startswith(_BACKBONE)]
    return names if len(names) < len(weights) else []


def _taken(weights: Mapping[str, Tensor], names: frozenset[str], target: Target) -> dict[str, Tensor]:
    """The weights of the ViT, and what the model takes of what is around it."""
    carried = {name: x for name, x in weights.items() if target.carries and name.startswith(target.carries)}
    return {**carried, **{name: x for name, x in _of_backbone(weights).items() if name in names or name in carried}}


def _names_of_vit(vit: dict[str, Tensor], options: Mapping[str, Any], source: str | Path) -> frozenset[str]:
    """Names of the weights that a `PlainViT` with these options has.

    Raises:
        CheckpointError: They are weights of something else.
    """
    try:
        with torch.device('meta'):
            model = PlainViT(**{**options, 'init_cfg': None})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'PlainViT cannot be built with the options of {source}: {error}') from error
    thin = {name: x.to('meta') for name, x in vit.items()}
    how = FitOptions(pos_grid=model.pos_grid if 'pos_embed' in vit else None, recorded=grids_of_record(vit))
    kept, report = fit_to_vit(thin, model, how)
    if report.resized:
        raise CheckpointError(
            f'{source} has other tables than a PlainViT with its options ({report.resized[0]}): give the img_size and '
            'pretrain_img_size of the weights with --options'
        )
    return frozenset(name for name in kept if name in vit)


def _note_of_positions(target: Target, options: Mapping[str, Any]) -> list[str]:
    if not target.resizes_otherwise(options):
        return []
    height, width = options['pretrain_img_size']
    if target.pos_resize is None:
        return []
    return [
        f'{target.library} resizes positions by {_rule(target.pos_resize)}, these weights come with '
        f'{_rule(options["pos_resize"])}: other features than here for images of another size than {height} x {width}'
    ]


def _rule(rule: Mapping[str, Any]) -> str:
    return f'dict({", ".join(f"{name}={value!r}" for name, value in rule.items())})'


def _known_options(options: Mapping[str, Any] | None, source: str | Path, is_given: bool) -> Mapping[str, Any]:
    """What the layout says, or the record of a conversion; else the config of a run."""
    if options is not None:
        return options
    if os.path.isfile(local_path(source)) and (of_run := _options_of_run(source)):
        return of_run
    if is_given:
        return {}
    raise InputError(
        f'{source} does not say with which options its ViT was built: give them with --options NAME=VALUE, such as '
        'preset=mae-base.'
    )


def _options_of_run(source: str | Path) -> dict[str, Any] | None:
    """The options in the config that a run leaves in its checkpoints; None where there is none."""
    from mmvitdense.apis.checkpoint_config import config_of_checkpoint

    content = read_file(source)
    meta = content.get('meta') if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping) or not meta.get('cfg'):
        return None
    backbone = dict(config_of_checkpoint(local_path(source)).model.backbone)
    kind = str(backbone.pop('type')).rpartition('.')[2]
    if kind != 'PlainViT':
        raise CheckpointError(
            f'{source} is of a run with the backbone {kind}, which no other library has: a PlainViT alone can be '
            'written for one'
        )
    return backbone
