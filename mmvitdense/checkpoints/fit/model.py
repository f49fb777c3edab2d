"""Fitting converted weights to a model of this project, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmvitdense.checkpoints.formats.parts.adapter_parts import VIT, holds_adapter, trunk_of

from .adapter import fit_to_adapter
from .grids import grids_of_record
from .mimdet import fit_to_mimdet
from .options import FitOptions
from .vit import FitReport, fit_to_vit


def fit_to_model(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions | None = None
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a ``PlainViT``, or by a ``MIMDet``, ``ViTCoMer`` or ``ViTAdapter``.

    A ``PlainViT`` takes its own of the weights of an adapter, and leaves over what surrounds it. See ``fit_to_vit``,
    ``fit_to_mimdet`` and ``fit_to_adapter`` for the arguments, what is returned and what is refused.
    """
    how = how or FitOptions(recorded=grids_of_record(state_dict))
    if hasattr(model, 'decoder'):
        return fit_to_mimdet(state_dict, model, how)
    if hasattr(model, 'vit'):
        return fit_to_adapter(state_dict, model, how)
    if not holds_adapter(state_dict):
        return fit_to_vit(state_dict, model, how)
    weights, report = fit_to_vit(trunk_of(state_dict), model, how.within(VIT, prefix=''))
    report.left_over += [name for name in state_dict if not name.startswith(VIT)]
    return weights, report
