"""Whether two files of weights hold the same features: by their converted weights, and by an image."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense import models
from mmvitdense.apis.conversion import Conversion
from mmvitdense.checkpoints import CheckpointError, detect, fit_to_vit
from mmvitdense.checkpoints.fit.grids import recorded_grids
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.parts.spelling import spelled
from mmvitdense.compat import while_tools_run

from .diagnosis import own_weights, read_again, vit_weights
from .source import WeightFile

_SIDE = 64
_FEATURES = 1e-4
"""Root mean square difference of the same features, in their deviations, in float32."""
_WEIGHTS = 1e-6
"""Largest difference of the same weights, of the largest number of a tensor, in float32."""
_ROUNDING = 10
"""Features of half precision differ by so many times the precision of their numbers."""


@dataclass
class Comparison:
    """How two files differ.

    Attributes:
        other: The second file, as it was given.
        same: Whether they hold the same features.
        verdict: One sentence.
        weights: The largest difference of a weight in both, relative to the largest number of that weight.
        worst: The name of that weight.
        compared: How many weights are in both with one shape.
        other_shape: {name: both shapes} of weights in both.
        not_finite: Names of weights in both whose difference is NaN or infinite.
        only_in_first: Names in the first file alone.
        only_in_second: Names in the second alone.
        features: The root mean square difference of the features of an image, in deviations of those of the first; None
            where they were not computed.
        why_no_features: Why they were not.
        options: {option: both values} that the files imply otherwise.
    """

    other: str
    same: bool = False
    verdict: str = ''
    weights: float | None = None
    worst: str = ''
    compared: int = 0
    other_shape: dict[str, list[list[int]]] = field(default_factory=dict)
    not_finite: list[str] = field(default_factory=list)
    only_in_first: list[str] = field(default_factory=list)
    only_in_second: list[str] = field(default_factory=list)
    features: float | None = None
    why_no_features: str = ''
    options: dict[str, list[str]] = field(default_factory=dict)


@while_tools_run()
def compare_weights(first: WeightFile, second: WeightFile, options: Mapping[str, Any] | None = None) -> Comparison:
    """Compare two files.

    Weights are compared under the names of this project. Where both are ViTs, a fixed image goes through both, each
    with the options that its file implies, or with those of the other where its own implies none. The features decide:
    the same ones can be written with a bias of zeros or without, and with the position of the class token inside it.
    Numbers of half precision may differ by their rounding.

    Args:
        first: What `open_weights` read.
        second: The other.
        options: What is known of both and not in the weights, as for `convert_file`.

    Raises:
        CheckpointError: One is of no known format.
    """
    conversions = [read_again(file, options or {}) for file in (first, second)]
    known = [conversion.options for conversion in conversions]
    found = Comparison(second.name)
    _compare_names(found, *(_of_interest(conversion) for conversion in conversions))
    if None not in known:
        found.options = _differing_options(conversions, known)
    _compare_features(found, (first, second), conversions, known)
    epsilon = max(_precision(file.tensors) for file in (first, second))
    found.same, found.verdict = _judge(first, found, epsilon)
    return found


def _of_interest(conversion: Conversion) -> dict[str, Tensor]:
    """The ViT of a plain ViT, whatever is around it; all weights of other models."""
    if conversion.model == 'PlainViT' and (vit := vit_weights(conversion)) is not None:
        return own_weights(vit, conversion.unused)
    return conversion.weights


def _compare_names(found: Comparison, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    found.only_in_first = [name for name in first if name not in second]
    found.only_in_second = [name for name in second if name not in first]
    for name in (name for name in first if name in second):
        one, other = first[name], second[name]
        if one.shape != other.shape:
            found.other_shape[name] = [list(one.shape), list(other.shape)]
            continue
        found.compared += 1
        difference = _relative(one, other)
        if not math.isfinite(difference):
            found.not_finite.append(name)
        elif found.weights is None or difference > found.weights:
            found.weights, found.worst = difference, name


def _relative(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    if torch.equal(one, other):
        return 0.0
    return float((one - other).abs().max()) / max(float(one.abs().max()), float(other.abs().max()))


def _differing_options(conversions: Sequence[Conversion], known: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Those of both by name, in words; the gains that LayerScale starts from are in the weights."""
    pair = [{**_defaults(part.model), **options} for part, options in zip(conversions, known)]
    names = [name for name in dict.fromkeys((*pair[0], *pair[1])) if name != 'layer_scale_init']
    values = {name: [spelled(part[name]) if name in part else 'none' for part in pair] for name in names}
    return {name: value for name, value in values.items() if value[0] != value[1]}


def _defaults(model: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(models, model)).parameters.values()
    return {part.name: part.default for part in parameters if part.default is not part.empty}


def _compare_features(
    found: Comparison,
    files: Sequence[WeightFile],
    conversions: Sequence[Conversion],
    known: Sequence[dict[str, Any] | None],
) -> None:
    maps = []
    any_known = next((options for options in known if options is not None), None)
    for file, conversion, own in zip(files, conversions, known, strict=True):
        if conversion.model != 'PlainViT' or vit_weights(conversion) is None:
            found.why_no_features = f'{file.name} is no plain ViT ({conversion.format_name})'
            return
        if any_known is None:
            found.why_no_features = 'neither file says enough of its model: give --options NAME=VALUE'
            return
        try:
            maps.append(_features(file, conversion, any_known if own is None else own))
        except (CheckpointError, ValueError) as error:
            found.why_no_features = f'the weights of {file.name} do not fit the options of the other file: {error}'
            return
    if maps[0].shape != maps[1].shape:
        shapes = ' and '.join(' x '.join(map(str, part.shape[1:])) for part in maps)
        found.why_no_features = f'the maps of features are of {shapes}'
        return
    difference = float((maps[0] - maps[1]).square().mean().sqrt() / maps[0].std())
    if not math.isfinite(difference):
        found.why_no_features = 'the features are NaN or infinite'
        return
    found.features = difference


@torch.no_grad()
def _features(file: WeightFile, conversion: Conversion, options: Mapping[str, Any]) -> Tensor:
    """The map of a fixed image."""
    model: nn.Module = models.PlainViT(**options).eval()
    how = FitOptions(recorded=recorded_grids(file.tensors, detect(file.tensors)))
    kept, _ = fit_to_vit(vit_weights(conversion), model, how)
    model.load_state_dict(kept, strict=False)
    image = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    return model(image)[-1]


def _precision(tensors: Mapping[str, Tensor]) -> float:
    """The precision of the coarsest numbers of a file, 0 for those of float32 and wider."""
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    return max((torch.finfo(kind).eps for kind in kinds if torch.finfo(kind).bits < 32), default=0.0)


def _judge(first: WeightFile, found: Comparison, epsilon: float) -> tuple[bool, str]:
    named = f'{first.name} and {found.other}'
    alike = not (found.only_in_first or found.only_in_second or found.other_shape or found.not_finite)
    if alike and found.weights == 0 and not found.features:
        unlike = f', but imply other options of the model: {", ".join(found.options)}' if found.options else ''
        return True, f'{named} hold the same weights, bit for bit{unlike}.'
    if found.features is not None:
        largest = max(_FEATURES, _ROUNDING * epsilon)
        same = found.features <= largest
        rounded = ' within the rounding of half precision' if same and epsilon else ''
        share = f'they differ by {found.features:.2g} of their deviation'
        return same, f'{named} hold {"the same" if same else "other"} features{rounded}: {share}.'
    largest = max(_WEIGHTS, epsilon)
    same = alike and found.weights is not None and found.weights <= largest
    if same:
        return True, f'{named} hold the same weights: they differ by at most {found.weights:.2g} of the largest number.'
    return False, f'{named} hold other weights, and no features were compared: {found.why_no_features}.'
