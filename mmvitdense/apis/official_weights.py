"""Files of other code, converted in memory to the names of a model and completed by the ViT that they lack."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect
from mmvitdense.checkpoints.files.ema_copies import split_ema_copies
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.plain_vit import FORMAT as PLAIN_VIT
from mmvitdense.layers import held_vit

from .class_order import in_order_of_model
from .trunks import WHOLE, check_trunk, join_trunk

_VIT = 'backbone.vit.'


class OfficialWeights(NamedTuple):
    """What a file of other code gives.

    Attributes:
        weights: Under the names of a whole detector or segmentor.
        form: The format of the file.
        read: What was in the file.
        generation: What else the file is known to be of, see `Format.generation`.
    """

    weights: dict[str, Tensor]
    form: Format
    read: dict[str, Tensor]
    generation: str


def fits_by_name(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has every name of a model, so that it is of this project and of that model."""
    return all(name in state for name, _ in model.named_parameters())


def official_weights(
    model: nn.Module, state: Mapping[str, Tensor], source: object, trunk: object = None
) -> OfficialWeights | None:
    """Convert what a file holds to the names of a whole detector or segmentor.

    Args:
        model: The model. A ViT that the file lacks is loaded into it.
        state: What was read from the file.
        source: The file, for messages.
        trunk: The file of the ViT, for a file without one or with differences to one; by default that of the
            `init_cfg` of the model's ViT. 'none' where what looks like differences is whole.

    Returns:
        The weights; None where the file is of no known format or of one of this project.

    Raises:
        CheckpointError: The ViT that the file needs cannot be had, or is another.
    """
    state, copies = split_ema_copies(dict(state))
    try:
        form = detect(state)
    except CheckpointError:
        return None
    if form is PLAIN_VIT:
        return None
    if copies:
        print_log(f"{source}: the {len(copies)} copies 'ema_*' beside the weights are left out", logger='current')
    vit = held_vit(getattr(model, 'backbone', None)) if hasattr(model, 'backbone') else None
    weights = form.converted(state, getattr(vit, 'num_heads', None))
    lacks = form.trunk(state)
    if trunk is not None:
        check_trunk(form, lacks, trunk, source)
    if lacks is not None and trunk != WHOLE:
        weights = _joined(lacks, weights, _loaded_vit(model, form, source, trunk))
    print_log(f'{source}: a file of {form.name}, {len(weights)} tensors converted', logger='current')
    return OfficialWeights(in_order_of_model(weights, model, source), form, state, form.generation(state))


def _joined(lacks: str, weights: dict[str, Tensor], vit: nn.Module) -> dict[str, Tensor]:
    of_vit = vit.state_dict()
    joined = join_trunk(lacks, weights, of_vit)
    if hasattr(joined, '_metadata'):
        del joined._metadata  # the model knows its grids
    return joined


def _loaded_vit(model: nn.Module, form: Format, source: object, trunk: object) -> nn.Module:
    """The ViT of a model, with the weights of its file."""
    vit = dict(model.named_modules()).get(_VIT[:-1])
    if vit is None:
        raise CheckpointError(
            f'{source} ({form.name}) needs a model whose ViT is model.backbone.vit; use the config that it is of.'
        )
    init_cfg = dict(getattr(vit, 'init_cfg', None) or {})
    if trunk is not None:
        init_cfg = {'type': 'ViTPretrained', **init_cfg, 'checkpoint': str(trunk)}
    if not init_cfg.get('checkpoint'):
        raise CheckpointError(
            f'{source} ({form.name}) has no weights of its ViT, or differences to them alone: give the file of the ViT '
            'with --trunk FILE, or as model.backbone.vit.init_cfg.'
        )
    options: dict[str, Any] = {name: value for name, value in init_cfg.items() if name != 'type'}
    try:
        ViTPretrained(**options)(vit)
    except CheckpointError as error:
        raise CheckpointError(
            f'{source} ({form.name}) needs the ViT that it was made with, and its file cannot be used: {error} '
            '(--trunk FILE names another copy of it)'
        ) from error
    print_log(
        f'{source} ({form.name}): its ViT is that of {init_cfg["checkpoint"]}', logger='current', level=logging.INFO
    )
    return vit
