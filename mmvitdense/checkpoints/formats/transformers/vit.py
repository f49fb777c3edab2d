"""ViT, DeiT and MAE of ``transformers``: ``ViTModel``, ``DeiTModel``, ``ViTMAEModel`` and models that hold one.

The distillation token of DeiT becomes a register token with its position added, which computes the same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.families import plain_families

from .names import body_of, convert_body, has_blocks


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the norms are ViT's, and nothing points to BEiT."""
    body = body_of(state_dict)
    return (
        has_blocks(body, 'layernorm_before.weight')
        and 'embeddings.position_embeddings' in body
        and not any('relative_position_bias' in name or 'lambda_1' in name for name in body)
    )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``; the pooler and classifiers keep their names."""
    return convert_body(body_of(state_dict))


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The epsilon of the norms."""
    return {'norm_eps': 'that of the official code; config.json may have layer_norm_eps=1e-12'}


FORMAT = Format(
    name='transformers ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: plain_families(convert(state_dict)),
    cannot_tell=cannot_tell,
)
