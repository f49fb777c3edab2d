"""ViTDet of `transformers` (`VitDetModel`, `VitDetBackbone`): the ViT without a pyramid."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.detectron2_vitdet import vitdet_options
from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.formats.parts.window_plan import guessed_windows

from .settings import settings_with_windows

ANCHOR = 'encoder.layer.0.attention.qkv.weight'
_RULES = (
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^encoder\.layer\.(\d+)\.attention\.', r'blocks.\1.attn.'),
    (r'^encoder\.layer\.', 'blocks.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks project query, key and value at once and the patch embedding stands under 'embeddings'."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and 'embeddings.projection.weight' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    return rename(strip_prefix(state_dict, ANCHOR), _RULES)


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of `PlainViT`; `known` ones win."""
    return vitdet_options(convert(state_dict), known)


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, unless the lengths of tables of relative positions show them."""
    return guessed_windows(convert(state_dict))


FORMAT = Format(
    name='transformers ViTDet',
    about=__doc__,
    matches=matches,
    convert=convert,
    own_options=options,
    cannot_tell=cannot_tell,
    config=settings_with_windows,
)
