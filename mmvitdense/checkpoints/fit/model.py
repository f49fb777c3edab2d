"""Fitting converted weights to a model of this project, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmvitdense.checkpoints.formats.parts.adapter_parts import VIT, trunk_of
from mmvitdense.layers import HoldsViT

from .grids import grids_of_record
from .holder import fit_to_holder
from .options import FitOptions
from .vit import FitReport, fit_to_vit


def fit_to_model(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions | None = None
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a `PlainViT`, or by a model that holds one (`layers.HoldsViT`).

    A `PlainViT` takes its own of the weights of a model that holds one, and leaves over what surrounds it. See
    `fit_to_vit` and `fit_to_holder` for the arguments, what is returned and what is refused.
    """
    how = how or FitOptions(recorded=grids_of_record(state_dict))
    if isinstance(model, HoldsViT):
        return fit_to_holder(state_dict, model, how)
    if not (trunk := trunk_of(state_dict)):
        return fit_to_vit(state_dict, model, how)
    weights, report = fit_to_vit(trunk, model, how.within(VIT, prefix=''))
    report.left_over += [name for name in state_dict if not name.startswith(VIT)]
    return weights, report
