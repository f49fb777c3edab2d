"""The image encoder of SAM in `transformers` (`SamModel`, `SamVisionModel`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.formats.parts.window_plan import guessed_windows

from .settings import settings_with_windows

ANCHOR = 'layers.0.attn.rel_pos_h'
_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.', 'blocks.'),
    (r'^(blocks\.\d+\.)layer_norm([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.mlp\.)lin([12])\.', r'\1fc\2.'),
    # As in the release, by which a converted file is known again.
    (r'^neck\.conv1\.', 'neck.0.'),
    (r'^neck\.layer_norm1\.', 'neck.1.'),
    (r'^neck\.conv2\.', 'neck.2.'),
    (r'^neck\.layer_norm2\.', 'neck.3.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have decomposed relative positions and the norms of `transformers`."""
    body = strip_prefix(state_dict, ANCHOR)
    return body is not None and 'layers.0.layer_norm1.weight' in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; those of the convolutions after it ('neck.') are the release's."""
    weights = rename(strip_prefix(state_dict, ANCHOR), _RULES)
    if 'pos_embed' in weights:
        weights['pos_embed'] = weights['pos_embed'].flatten(1, 2)
    return weights


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, unless the lengths of tables of relative positions show them."""
    return guessed_windows(convert(state_dict))


FORMAT = Format(
    name='transformers SAM',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('sam',),
    cannot_tell=cannot_tell,
    config=settings_with_windows,
)
