"""Which options of a model take the weights of a conversion, and what of these it has no place for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense.apis.conversion import Conversion
from mmvitdense.checkpoints import CheckpointError, fit_to_model
from mmvitdense.checkpoints.fit.grids import grids_given
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.checkpoints.formats.parts.spelling import spelled_options
from mmvitdense.layers import held_vit


def describe_model(
    conversion: Conversion,
    form: Format,
    backbone: dict[str, Tensor],
    given: dict[str, Any],
    recorded: dict[str, tuple[int, int]],
) -> dict[str, tuple[int, int]]:
    """Note in a conversion what computes its weights: `description`, or why there is none, and `unused`.

    Args:
        conversion: Of the weights that were read.
        form: Their format.
        backbone: The converted weights of the backbone, by its own names.
        given: Options that the user gives.
        recorded: {name of a table of positions: rows, columns} that the file says.

    Returns:
        The grids of tables that the user gives.

    Raises:
        CheckpointError: An option that is given cannot be that of the weights.
    """
    try:
        description = describe(form, conversion.read, given)
    except CheckpointError as error:
        if given:
            raise
        conversion.notes.append(f'options: unknown, {error} (with --options NAME=VALUE)')
        return {}
    model = _build(conversion.model, description.options, given)
    grid = _grid_of(model, given)
    reason, conversion.unused = _compare(backbone, model, FitOptions(recorded=recorded, pos_grid=grid))
    if reason is None:
        conversion.description = description
        return {} if grid is None else grids_given(backbone, grid)
    conversion.misfit = reason
    tried = f'{spelled_options(given)} and what' if given else 'those that'
    conversion.notes.append(
        f'options: unknown, {tried} names and shapes imply do not fit ({reason}); the weights are converted anyway'
    )
    return {}


def _grid_of(model: nn.Module, given: dict[str, Any]) -> tuple[int, int] | None:
    """The grid of the table of positions where the user gives it."""
    is_given = 'pretrain_img_size' in given or 'pretrain_img_size' in given.get('vit', {})
    return held_vit(model).pos_grid if is_given else None


def _build(model: str, options: dict[str, Any], given: dict[str, Any]) -> nn.Module:
    """The model with the options, without memory."""
    from mmvitdense import models

    try:
        with torch.device('meta'):
            return getattr(models, model)(**options)
    except (TypeError, ValueError) as error:
        tried = spelled_options(given) or 'the options that the weights imply'
        raise CheckpointError(f'{model} cannot be built with {tried}: {error}') from error


def _compare(backbone: dict[str, Tensor], module: nn.Module, how: FitOptions) -> tuple[str | None, list[str]]:
    """Why a model does not take the weights, if it does not, and what it has no place for."""
    expected = module.state_dict()
    differing = [
        f'{name} is {tuple(x.shape)} in the file, {tuple(expected[name].shape)} in the model'
        for name, x in backbone.items()
        if name in expected and x.shape != expected[name].shape
    ]
    differing += [
        f'{name} has numbers of type {str(x.dtype).removeprefix("torch.")}'
        for name, x in backbone.items()
        if name in expected and expected[name].is_floating_point() and not x.is_floating_point()
    ]
    if differing:
        return '; '.join(differing[:3]), []
    try:
        report = fit_to_model({name: tensor.to('meta') for name, tensor in backbone.items()}, module, how)[1]
    except CheckpointError:
        lacking = [name for name in expected if name not in backbone and not name.endswith('num_batches_tracked')]
        surplus = [name for name in backbone if name not in expected]
        unlike = [('the model lacks', surplus), ('the file lacks', lacking)]
        return '; '.join(f'{what} {len(names)}, first {", ".join(names[:3])}' for what, names in unlike if names), []
    return None, report.left_over
