"""EoMT of `transformers`, on DINOv2 (`EomtForUniversalSegmentation`) and DINOv3 (`EomtDinov3...`)."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.contract import Format, Weights
from mmvitdense.checkpoints.formats.eomt import options_of
from mmvitdense.checkpoints.formats.parts.mask_transformer_names import BACKBONE, DROPPED, PROBABILITIES, VIT, own_names
from mmvitdense.checkpoints.formats.parts.renaming import rename

from .names import convert_body
from .settings import settings

_ANCHORS = ('query.weight', 'class_predictor.weight', 'upscale_block.block.0.conv1.weight', 'layers.0.norm1.weight')
_AROUND = (
    (r'^query\.', 'head.query_embed.'),
    (r'^class_predictor\.', 'head.cls_embed.'),
    (r'^mask_head\.fc1\.', 'head.mask_embed.0.'),
    (r'^mask_head\.fc2\.', 'head.mask_embed.2.'),
    (r'^mask_head\.fc3\.', 'head.mask_embed.4.'),
    (r'^upscale_block\.block\.(\d+)\.layernorm2d\.', r'head.upscale.\1.norm.'),
    (r'^upscale_block\.block\.', 'head.upscale.'),
    (r'^attn_mask_probs$', PROBABILITIES),
)
_TRUNK = ('embeddings.', 'layers.', 'layernorm.')
_OF_TRUNK = (
    (r'^embeddings\.position_embeddings\.weight$', 'pos_embed'),
    (r'\.attention\.out_proj\.', '.attention.o_proj.'),
)


def matches(state_dict: Weights) -> bool:
    """Whether the queries and heads have the names of `transformers`."""
    return all(name in state_dict for name in _ANCHORS)


def convert(state_dict: Weights) -> Weights:
    """Rename to `EoMT` under 'backbone.', as the detectors and segmentors with it have it."""
    weights = {name: weight for name, weight in state_dict.items() if not DROPPED.match(name)}
    trunk = convert_body(rename({n: x for n, x in weights.items() if n.startswith(_TRUNK)}, _OF_TRUNK))
    if 'pos_embed' in trunk and trunk['pos_embed'].ndim == 2:
        trunk['pos_embed'] = trunk['pos_embed'][None]
    around = rename({name: x for name, x in weights.items() if not name.startswith(_TRUNK)}, _AROUND)
    converted = {**{f'{VIT}{name}': weight for name, weight in trunk.items()}, **around}
    return {f'{BACKBONE}{name}': weight for name, weight in converted.items()}


def options(state_dict: Weights, **given: Any) -> dict[str, Any]:
    """Options of `EoMT`; `given` ones win, others than its own are of its ViT."""
    return options_of(own_names(convert(state_dict)), given)


FORMAT = Format(
    name='transformers EoMT',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='EoMT',
    own_options=options,
    config=settings,
)
