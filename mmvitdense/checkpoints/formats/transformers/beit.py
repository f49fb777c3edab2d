"""BEiT and Data2Vec-Vision of `transformers`, with tables of relative positions of each block or shared by all."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format

from .names import ANCHOR, body_of, convert_body, has_blocks
from .settings import settings

_SHARED = ('encoder.relative_position_bias_table', 'shared_position_bias.relative_position_bias_table')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the norms are ViT's and there are tables of relative positions; InternVL has LayerScale without them."""
    body = body_of(state_dict)
    return has_blocks(body, 'layernorm_before.weight') and any('relative_position_bias' in name for name in body)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; a shared table becomes 'rel_pos_bias.relative_position_bias_table'."""
    body = body_of(state_dict)
    if len(body) < len(state_dict) and f'beit.{ANCHOR}' in state_dict:
        # The model for pre-training keeps the last norm beside the encoder.
        body.update((name, state_dict[name]) for name in ('layernorm.weight', 'layernorm.bias') if name in state_dict)
    weights = {}
    for name, tensor in convert_body(body).items():
        if name in _SHARED:
            name = 'rel_pos_bias.relative_position_bias_table'
        elif name.startswith('blocks.') and name.endswith('relative_position_bias_table'):
            name = f'blocks.{name.split(".")[1]}.attn.relative_position_bias_table'
        elif name.startswith('pooler.layernorm.') and 'layernorm.weight' not in body:
            # Fine-tuned models norm the mean of the patches instead of the tokens.
            name = name.replace('pooler.layernorm.', 'norm.')
        weights[name] = tensor
    return weights


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The epsilon of the norms."""
    return {'norm_eps': 'that of the official code; config.json may have layer_norm_eps=1e-12'}


FORMAT = Format(
    name='transformers BEiT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('beit', 'beitv2'),
    cannot_tell=cannot_tell,
    config=settings,
)
