"""The image encoder of SAM 3 in `transformers` (`Sam3ViTModel`, `Sam3Model`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.formats import sam3
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.renaming import rename

from .names import body_of, convert_body, has_blocks
from .settings import settings_with_windows

_RULES = ((r'^layer_norm\.', 'norm_pre.'), (r'\.layer_norm([12])\.', r'.norm\1.'))


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether a norm precedes blocks with the norms of SAM and separate projections, and there are positions."""
    body = body_of(state_dict)
    if not has_blocks(body, 'layer_norm1.weight') or not has_blocks(body, 'attention.q_proj.weight'):
        return False
    return {'layer_norm.weight', 'embeddings.position_embeddings'} <= body.keys()


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    return convert_body(rename(body_of(state_dict), _RULES))


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, and the epsilon of the norms."""
    eps = {'norm_eps': "that of the official code; transformers' own default is layer_norm_eps=1e-06"}
    return {**eps, **sam3.unsure_of_windows(options)}


FORMAT = Format(
    name='transformers SAM 3',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('sam3',),
    implied=lambda state_dict: {'window_size': sam3.WINDOW},
    cannot_tell=cannot_tell,
    config=settings_with_windows,
)
