"""EoMT: official files on DINOv2 and DINOv3, and those of this project.

The published files on DINOv3 hold differences to DINOv3's own weights (`model_zoo/dinov3.md` of tue-mps/eomt).
"""

from __future__ import annotations

from typing import Any

from .contract import Format, Weights
from .parts.adapter_options import split_given
from .parts.mask_transformer_names import (
    BACKBONE,
    HEAD,
    PROBABILITIES,
    around_trunk,
    convert_trunk,
    head_options,
    is_dinov3,
    is_own,
    own_names,
    vit_options,
    without_network,
)
from .parts.renaming import rename

_OFFICIAL = ('q.weight', 'class_head.weight', 'upscale.0.conv1.weight', 'encoder.backbone.blocks.0.norm1.weight')
_OWN = 'vit.blocks.0.norm1.weight'
_OF_PMT = 'laterals.0.gain'


def matches(state_dict: Weights) -> bool:
    """Whether there are a ViT and the queries and heads beside it."""
    names = without_network(state_dict)
    official = all(name in names for name in _OFFICIAL)
    return official or (is_own(state_dict, _OWN) and not is_own(state_dict, _OF_PMT))


def convert(state_dict: Weights) -> Weights:
    """Rename to `EoMT` under 'backbone.', as the detectors and segmentors with it have it."""
    if is_own(state_dict, _OWN):
        return dict(state_dict)
    weights = without_network(state_dict)
    converted = {**convert_trunk(weights), **rename(around_trunk(weights), HEAD)}
    return {f'{BACKBONE}{name}': weight for name, weight in converted.items()}


def options(state_dict: Weights, **given: Any) -> dict[str, Any]:
    """Options of `EoMT`; `given` ones win, others than its own are of its ViT."""
    return options_of(own_names(convert(state_dict)), given)


def options_of(weights: Weights, given: dict[str, Any]) -> dict[str, Any]:
    """The same of converted weights."""
    of_vit, own = split_given(given, ('num_classes', 'num_queries', 'num_query_blocks'))
    options = {'vit': vit_options(weights, of_vit), **head_options(weights)}
    if PROBABILITIES in weights:
        options['num_query_blocks'] = len(weights[PROBABILITIES])
    return {**options, **own}


def trunk(state_dict: Weights) -> str | None:
    """Official files on DINOv3 have differences; their names are those of whole weights."""
    return 'added' if is_dinov3(without_network(state_dict)) else None


FORMAT = Format(
    name='EoMT',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='EoMT',
    own_options=options,
    trunk=trunk,
)
