"""Options of a model that nothing in the file of its weights confirms."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.checkpoints.files.conversion_record import guesses_as_text
from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.describe import VIT, is_named
from mmvitdense.checkpoints.formats.parts.families import FAMILY_OPTIONS
from mmvitdense.layers import HoldsViT, held_vit
from mmvitdense.pretrainings import PRESETS, family_of

from .differences import description_for
from .grids import has_record


def warn_of_unconfirmed(
    form: Format,
    state_dict: Mapping[str, Tensor],
    model: nn.Module,
    source: str,
    known: Collection[str] = (),
) -> None:
    """Log one warning with the options of a model that `unconfirmed` finds.

    Args:
        form: Format of the checkpoint, see `detect`.
        state_dict: The checkpoint, not converted.
        model: The `PlainViT` that the weights are for, or the model that holds it.
        source: What the file is called.
        known: See `unconfirmed`.
    """
    if guesses := unconfirmed(form, state_dict, model, known):
        print_log(
            f'{source}: the weights do not determine {len(guesses)} of the options of the model: '
            f'{guesses_as_text(guesses)}. Compare them with the model; init_cfg=dict(..., known=[...]) names those '
            'that are right.',
            logger='current',
            level=logging.WARNING,
        )


def unconfirmed(
    form: Format, state_dict: Mapping[str, Tensor], model: nn.Module, known: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Options that `mmvitdense convert` calls guesses, of the part of the file that the model takes.

    A preset settles what its pre-training settles. Models of this project record their positions, and are built from
    the config that they were trained with: nothing is reported of their files.

    Args:
        form: Format of the checkpoint, see `detect`.
        state_dict: The checkpoint, not converted.
        model: The `PlainViT` that the weights are for, or the model that holds it.
        known: Options that are right in the model, by the paths that are reported; 'window_size' stands for
            'vit.window_size' too.

    Returns:
        {path of the option: {'why': why it is a guess, 'value': what the file suggests, absent for the default}}.
    """
    if not form.tells_options or has_record(state_dict):
        return {}
    vit = held_vit(model)
    try:
        guesses = description_for(form, state_dict, vit).recorded_guesses()
    except CheckpointError:  # the model has what the file alone does not show
        return {}
    settled = _settled(getattr(vit, 'preset', None), form.families(state_dict))
    guesses = {path: guess for path, guess in guesses.items() if path.removeprefix(VIT) not in settled}
    return {path: guess for path, guess in _of_model(guesses, form, model).items() if not is_named(path, known)}


def _settled(preset: str | None, families: Collection[str]) -> set[str]:
    """What a preset says of weights that may be of its family."""
    return {*FAMILY_OPTIONS, *PRESETS[preset]} if preset in PRESETS and family_of(preset) in families else set()


def _of_model(guesses: dict[str, Any], form: Format, model: nn.Module) -> dict[str, Any]:
    """The guesses by their paths in the model, without those of parts that it takes nothing for."""
    if isinstance(model, HoldsViT):
        prefix = f'{model.held_vits[0]}.' if form.model == 'PlainViT' else ''
        return {f'{prefix}{path}': guess for path, guess in guesses.items()}
    if form.model == 'PlainViT':
        return guesses
    return {path.removeprefix(VIT): guess for path, guess in guesses.items() if path.startswith(VIT)}
