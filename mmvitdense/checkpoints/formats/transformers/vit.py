"""ViT, DeiT and MAE of `transformers`: `ViTModel`, `DeiTModel`, `ViTMAEModel` and models that hold one.

The distillation token of DeiT becomes a register token with its position added, which computes the same.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.families import plain_families

from .names import ANCHOR, body_of, convert_body, has_blocks
from .settings import settings

_FOREIGN = re.compile(r'relative_position_bias|lambda_1|(^|\.)(detection_tokens|time_embeddings|temporal_\w+)(\.|$)')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the norms are ViT's, and nothing points to BEiT, YOLOS or a model of video."""
    body = body_of(state_dict)
    return (
        has_blocks(body, 'layernorm_before.weight')
        and 'embeddings.position_embeddings' in body
        and body[ANCHOR].ndim == 4
        and not any(_FOREIGN.search(name) for name in body)
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the pooler and classifiers keep their names."""
    return convert_body(body_of(state_dict))


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """What the table of positions leaves; none without a class token, as of I-JEPA."""
    weights = convert(state_dict)
    return plain_families(weights) if 'cls_token' in weights else ()


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The epsilon of the norms."""
    return {'norm_eps': 'that of the official code; config.json may have layer_norm_eps=1e-12'}


FORMAT = Format(
    name='transformers ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    cannot_tell=cannot_tell,
    config=settings,
)
