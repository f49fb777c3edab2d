"""Fitting the converted weights of a whole ViT-CoMer or ViT-Adapter to a model."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.adapter_parts import VIT, holds_adapter, trunk_of

from .options import FitOptions
from .vit import FitReport, check_shapes, fit_to_vit

_PARTS = re.compile(r'^(interactions|spm|up|norm[1-4])\.|^level_embed$')
_COUNTER = '.num_batches_tracked'


def fit_to_adapter(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a ``ViTCoMer`` or ``ViTAdapter``.

    Tables of positions of the ViT are resized as ``fit_to_vit`` does it; all else has to fit as it is.

    Args:
        state_dict: Names of the model, without 'backbone.'.
        model: The model that will load them.
        how: See ``FitOptions``; names are those of the model.

    Returns:
        What ``model.load_state_dict(..., strict=False)`` may load, and the report.

    Raises:
        CheckpointError: The checkpoint holds a plain ViT alone, lacks weights of the model, has others in the parts
            that surround the ViT, or some of another shape.
    """
    kind = type(model).__name__
    if not holds_adapter(state_dict) or not (trunk := trunk_of(state_dict)):
        raise CheckpointError(
            f'the checkpoint holds a plain ViT, not a {kind}: give it to the ViT inside, '
            "vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=...), ...)"
        )
    weights, report = fit_to_vit(trunk, model.vit, how.within(VIT))
    weights = {f'{VIT}{name}': weight for name, weight in weights.items()}
    for names in (report.missing, report.left_over):
        names[:] = [f'{VIT}{name}' for name in names]
    around = {name: x for name, x in state_dict.items() if not name.startswith(VIT) and not how.stays(name)}
    expected = {name: weight for name, weight in model.state_dict().items() if not name.startswith(VIT)}
    report.missing += [n for n in expected if n not in around and not n.endswith(_COUNTER) and not how.stays(n)]
    _check({name: x for name, x in around.items() if not how.is_unused(name)}, expected, report.missing, kind)
    weights.update((name, weight) for name, weight in around.items() if name in expected)
    report.left_over += [name for name in around if name not in expected]
    report.loaded = len(weights)
    return weights, report


def _check(around: dict[str, Tensor], expected: dict[str, Tensor], missing: list[str], kind: str) -> None:
    surplus = [name for name in around if name not in expected and _PARTS.match(name)]
    if missing or surplus:
        lists = {'lacks': missing, 'has no place for': surplus}
        told = [f'{verb} {len(names)}, first {", ".join(names[:4])}' for verb, names in lists.items() if names]
        told = [f'the {"checkpoint" if text.startswith("lacks") else "model"} {text}' for text in told]
        raise CheckpointError(
            f'the weights of the checkpoint are not those of this {kind}: {"; ".join(told)}. Give the model the '
            'options of the checkpoint, which `tools/convert.py CHECKPOINT --dry-run` tells'
        )
    advice = 'Give the model the options of the checkpoint, which `tools/convert.py CHECKPOINT --dry-run` tells'
    check_shapes(around, expected, f'this {kind}', advice)
