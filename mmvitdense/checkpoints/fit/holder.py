"""Fitting converted weights to a model that holds a ViT or several, as the model says (`layers.HoldsViT`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.renaming import rename

from .options import FitOptions
from .vit import FitReport, check_shapes, fit_to_vit

_COUNTER = '.num_batches_tracked'
_BLOCK = re.compile(r'^blocks\.(\d+)\.')


def fit_to_holder(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a model that holds a ViT: a `MIMDet`, `ViTCoMer`, `ViTAdapter`, ...

    Tables of positions of each ViT are resized as `fit_to_vit` does it; all else has to fit as it is. Of a
    pre-training, for models that take one, the `new_parts` of the model may be missing, and of its decoder as many of
    the first blocks are taken as the model has.

    Args:
        state_dict: Names of the model, or of a pre-training that it takes.
        model: The model that will load them, a `HoldsViT`.
        how: See `FitOptions`; names are those of the model.

    Returns:
        What `model.load_state_dict(..., strict=False)` may load, and the report.

    Raises:
        CheckpointError: The checkpoint has no weights for one of the ViTs, lacks weights of the model, has others in
            the parts that surround the ViT, or some of another shape.
    """
    weights = dict(state_dict)
    pretraining = bool(model.pretraining_names) and not any(name.startswith(model.new_parts) for name in weights)
    if pretraining:
        weights = rename(weights, model.pretraining_names)
        how = replace(how, recorded=rename(how.recorded, model.pretraining_names))
    prefixes = tuple(f'{part}.' for part in model.held_vits)
    absent = [p for p in prefixes if not any(name.startswith(f'{p}blocks.') for name in weights)]
    if absent and not _may_be_absent(model, absent):
        raise CheckpointError(model.without_vit.format(model=type(model).__name__))
    kept, report = {}, FitReport()
    for prefix in prefixes:
        if prefix in absent:
            report.missing.append(f'{prefix}* (that of its own init_cfg)')
            continue
        vit = model.get_submodule(prefix.removesuffix('.'))
        part = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
        spare = [n for n in part if _is_spare(n, vit.num_layers)] if pretraining and prefix != prefixes[0] else []
        part = {name: x for name, x in part.items() if name not in spare}
        fitted, found = _fit_part(part, vit, how.within(prefix), f'{prefix[:-1]} of {type(model).__name__}')
        kept.update({f'{prefix}{name}': value for name, value in fitted.items()})
        report.resized += [f'{prefix}{line}' if len(prefixes) > 1 else line for line in found.resized]
        report.missing += [f'{prefix}{name}' for name in found.missing]
        report.left_over += [f'{prefix}{name}' for name in (*found.left_over, *spare)]
    around = {name: x for name, x in weights.items() if not name.startswith(prefixes) and not how.stays(name)}
    _fit_surroundings(around, model, prefixes, pretraining, how, report)
    expected = model.state_dict()
    kept.update((name, weight) for name, weight in around.items() if name in expected)
    report.loaded = len(kept)
    return kept, report


def _may_be_absent(model: nn.Module, prefixes: list[str]) -> bool:
    """Whether the ViTs under these prefixes get their weights otherwise."""
    vits = [model.get_submodule(prefix.removesuffix('.')) for prefix in prefixes]
    return model.takes_files_without_vit and all(getattr(vit, 'init_cfg', None) for vit in vits)


def _is_spare(name: str, num_layers: int) -> bool:
    """Whether this is of a block that the model has not."""
    match = _BLOCK.match(name)
    return match is not None and int(match[1]) >= num_layers


def _fit_part(
    part: dict[str, Tensor], vit: nn.Module, how: FitOptions, called: str
) -> tuple[dict[str, Tensor], FitReport]:
    try:
        return fit_to_vit(part, vit, how)
    except CheckpointError as error:
        raise CheckpointError(f'{called}: {error}') from error


def _fit_surroundings(
    around: dict[str, Tensor],
    model: nn.Module,
    prefixes: tuple[str, ...],
    pretraining: bool,
    how: FitOptions,
    report: FitReport,
) -> None:
    """Check what is not of the ViTs. A part that the model has must have all of its weights and no others."""
    expected = {name: weight for name, weight in model.state_dict().items() if not name.startswith(prefixes)}
    missing = [n for n in expected if n not in around and not n.endswith(_COUNTER) and not how.stays(n)]
    absent = [name for name in missing if not (pretraining and name.startswith(model.new_parts))]
    parts = {name.split('.')[0] for name in expected}
    others = [name for name in around if name not in expected]
    surplus = [name for name in others if name.split('.')[0] in parts and not how.is_unused(name)]
    kind = f'this {type(model).__name__}'
    if absent or surplus:
        unlike = [f'the checkpoint lacks {len(absent)}, first {", ".join(absent[:4])}'] if absent else []
        unlike += [f'the model has no place for {len(surplus)}, first {", ".join(surplus[:4])}'] if surplus else []
        raise CheckpointError(
            f'the weights of the checkpoint are not those of {kind}: {"; ".join(unlike)}. {model.fit_advice}'
        )
    check_shapes({n: x for n, x in around.items() if not how.is_unused(n)}, expected, kind, model.fit_advice)
    report.missing += missing
    report.left_over += others
