"""Names of mask transformers in the layout of EoMT's and PMT's official code (tue-mps/eomt, tue-mps/pmt)."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.transformers.names import convert_body

from .implied_options import implied_options
from .renaming import rename
from .timm_names import convert_body as convert_timm_body

Weights = dict[str, Tensor]

QUERIES = 'head.query_embed.weight'
CLASSES = 'head.cls_embed.weight'
PROBABILITIES = 'masking.attn_mask_probs'
VIT = 'vit.'
BACKBONE = 'backbone.'
# Of the loss, and of the normalisation of images, which the data preprocessor does.
DROPPED = re.compile(r'^(criterion\.|encoder\.pixel_(mean|std)$)')
HEAD = (
    (r'^q\.', 'head.query_embed.'),
    (r'^class_head\.', 'head.cls_embed.'),
    (r'^mask_head\.', 'head.mask_embed.'),
    (r'^upscale\.', 'head.upscale.'),
    (r'^attn_mask_probs$', PROBABILITIES),
)
_TRUNK = 'encoder.backbone.'
_TO_TRANSFORMERS = (
    (r'^patch_embed\.', 'embeddings.'),
    (r'^blocks\.', 'layers.'),
)


def without_network(state_dict: Weights) -> Weights:
    """The names without 'network.', which Lightning puts before them, and without what no model has."""
    named = {name.removeprefix('network.'): weight for name, weight in state_dict.items()}
    return {name: weight for name, weight in named.items() if not DROPPED.match(name)}


def is_dinov3(weights: Weights) -> bool:
    """Whether the ViT has the names of `transformers`' DINOv3."""
    return f'{_TRUNK}patch_embed.patch_embeddings.weight' in weights


def convert_trunk(weights: Weights) -> Weights:
    """The ViT of an official file, DINOv2 of timm or DINOv3 of `transformers`, under 'vit.'; nothing without one."""
    trunk = {name.removeprefix(_TRUNK): x for name, x in weights.items() if name.startswith(_TRUNK)}
    if not trunk:
        return {}
    converted = convert_body(rename(trunk, _TO_TRANSFORMERS)) if is_dinov3(weights) else convert_timm_body(trunk)
    return {f'{VIT}{name}': weight for name, weight in converted.items()}


def around_trunk(weights: Weights) -> Weights:
    """What is not of the ViT."""
    return {name: weight for name, weight in weights.items() if not name.startswith(_TRUNK)}


def is_own(state_dict: Weights, part: str) -> bool:
    """Whether this is a file of this project of a model with `part` beside the queries, alone or in a whole model."""
    return any(f'{prefix}{QUERIES}' in state_dict and f'{prefix}{part}' in state_dict for prefix in ('', BACKBONE))


def own_names(converted: Weights) -> Weights:
    """Converted weights without what precedes the names of the model."""
    return {name.removeprefix(BACKBONE): weight for name, weight in converted.items()}


def head_options(weights: Weights) -> dict[str, Any]:
    """Classes and queries."""
    return {'num_classes': len(weights[CLASSES]) - 1, 'num_queries': len(weights[QUERIES])}


def vit_options(weights: Weights, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the ViT inside: DINOv2 or DINOv3 where it has the parts of either."""
    vit = {name.removeprefix(VIT): weight for name, weight in weights.items() if name.startswith(VIT)}
    return implied_options(vit, given, families_of(vit))


def families_of(vit: Weights) -> tuple[str, ...]:
    """The family of a ViT of which the published models are made; none for another."""
    if 'register_tokens' not in vit or 'blocks.0.ls1.gamma' not in vit:
        return ()
    return ('dinov2-reg',) if 'pos_embed' in vit else ('dinov3',)
