"""RADIO of `transformers` (`RadioModel`) in memory; its files have the names of NVIDIA."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.formats import radio
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.linear_patches import kernel_of_linear
from mmvitdense.checkpoints.formats.parts.renaming import rename

from .names import body_of, convert_body, has_blocks
from .settings import settings

ANCHOR = 'embeddings.patch_projection.weight'
_TOKENS = 'embeddings.cls_register_token'
_RULES = (
    (r'^embeddings\.patch_projection\.', 'patch_embed.proj.'),
    (r'^embeddings\.position_embedding$', 'pos_embed'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether patches are projected as rows, and one table has class tokens and registers."""
    body = body_of(state_dict, ANCHOR)
    return has_blocks(body, 'attention.q_proj.weight') and _TOKENS in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; an embedding of videos and what is beside the encoder keep their names."""
    weights = convert_body(rename(body_of(state_dict, ANCHOR), _RULES))
    weights['patch_embed.proj.weight'] = kernel_of_linear(weights['patch_embed.proj.weight'], colours_first=True)
    return radio.with_tokens(weights, weights.pop(_TOKENS))


FORMAT = Format(
    name='transformers RADIO',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: radio.families_of(convert(state_dict)),
    implied=lambda state_dict: radio.implied_of(convert(state_dict)),
    cannot_tell=lambda state_dict, options: radio.unsure_of_corners(convert(state_dict)),
    pixels=radio.pixels,
    config=settings,
)
