"""Fitting weights to a model that holds a ViT and a decoder: those of MAE, and those of MIMDet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.renaming import rename

from .options import FitOptions
from .vit import FitReport, check_shapes, fit_to_vit

_PARTS = ('vit.', 'decoder.')
# What MAE and MIMDet have in common, by MAE's names.
_OF_MAE = (
    (r'^(blocks\.|norm\.|pos_embed$)', r'vit.\1'),
    (r'^decoder_(blocks\.|norm\.|pos_embed$)', r'decoder.\1'),
)
_NOT_OF_MAE = ('stem.', 'conv_feat_proj.')
_DECODER_BLOCK = re.compile(r'^decoder\.blocks\.(\d+)\.')


def fit_to_mimdet(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a ``MIMDet``.

    Of MAE it takes the encoder, and as many of the first blocks of the decoder as the model has; the stem and the
    projection of its features are new. Position tables are resized to those of the model.

    Args:
        state_dict: Names of ``PlainViT`` and, for the decoder, of MAE; or names of ``MIMDet``.
        model: The model that will load them.
        how: See ``FitOptions``; names are those of the model.

    Returns:
        What ``model.load_state_dict(..., strict=False)`` may load, and the report.

    Raises:
        CheckpointError: The file is of an encoder alone, weights that the model needs are missing, or have another
            shape.
    """
    of_mae = not any(name.startswith('stem.') for name in state_dict)
    weights = dict(state_dict)
    if of_mae:
        weights, how = rename(weights, _OF_MAE), replace(how, recorded=rename(how.recorded, _OF_MAE))
    if not any(name.startswith('decoder.blocks.') for name in weights):
        raise CheckpointError(
            'the checkpoint holds an encoder alone, and MIMDet needs the decoder it was trained with (from a random '
            'one, training diverges): take the full model of MAE, such as mae_pretrain_vit_base_full.pth'
        )
    kept, report = {}, FitReport()
    spare = [name for name in weights if _is_spare(name, model.decoder.num_layers)] if of_mae else []
    for prefix in _PARTS:
        part = {
            name.removeprefix(prefix): weights[name]
            for name in weights
            if name.startswith(prefix) and name not in spare
        }
        fitted, told = _fit_part(part, prefix, model.get_submodule(prefix.rstrip('.')), how.within(prefix))
        kept.update({f'{prefix}{name}': value for name, value in fitted.items()})
        report.resized += [f'{prefix}{line}' for line in told.resized]
        report.missing += [f'{prefix}{name}' for name in told.missing]
        report.left_over += [f'{prefix}{name}' for name in told.left_over]
    rest = {name: value for name, value in weights.items() if not name.startswith(_PARTS) and not how.stays(name)}
    _fit_rest(rest, model, _NOT_OF_MAE if of_mae else (), how, kept, report)
    report.left_over += spare
    report.loaded = len(kept)
    return kept, report


def _is_spare(name: str, num_layers: int) -> bool:
    """Whether this is of a block of MAE's decoder that the model has not."""
    match = _DECODER_BLOCK.match(name)
    return match is not None and int(match[1]) >= num_layers


def _fit_part(
    part: dict[str, Tensor], prefix: str, model: nn.Module, how: FitOptions
) -> tuple[dict[str, Tensor], FitReport]:
    try:
        return fit_to_vit(part, model, how)
    except CheckpointError as error:
        raise CheckpointError(f'{prefix.rstrip(".")} of MIMDet: {error}') from error


def _fit_rest(
    rest: dict[str, Tensor],
    model: nn.Module,
    added: tuple[str, ...],
    how: FitOptions,
    kept: dict[str, Tensor],
    report: FitReport,
) -> None:
    """The stem and the layers between encoder and decoder, of which those that start with ``added`` may be missing."""
    expected = {name: value for name, value in model.state_dict().items() if not name.startswith(_PARTS)}
    missing = [name for name in expected if name not in rest and not how.stays(name)]
    if absent := [name for name in missing if not added or not name.startswith(added)]:
        raise CheckpointError(
            f'the checkpoint lacks {len(absent)} weights of the model, first {", ".join(absent[:4])}: files of MIMDet '
            "1.0.0 need fill='mask_token', those of 1.2.0 fill='conv_feat'"
        )
    check_shapes(rest, expected)
    kept.update({name: value for name, value in rest.items() if name in expected})
    report.missing += missing
    report.left_over += [name for name in rest if name not in expected]
