"""OpenVision and OpenVision 2 under the names of OpenCLIP: CLIP's tower without the norm before its blocks.

Their positions are sines and cosines that the training computes at each resolution; a file holds those of its last one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .clip import convert, is_tower
from .clip import matches as is_clip
from .contract import Format
from .parts.sines import sines_of

_SINES = 'sincos_bv'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a tower as CLIP's, without the norm before its blocks."""
    return is_tower(state_dict) and not is_clip(state_dict)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Positions that are computed, where the table holds these; a table without values does."""
    table = convert(state_dict)['pos_embed']
    return {'pos_embed': _SINES} if table.is_meta or sines_of(table) == _SINES else {}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """What becomes of the positions at another grid."""
    if options.get('pos_embed') != _SINES:
        return {}
    return {
        'pos_embed': 'computed at each grid, as training does where it changes the resolution; the port to PyTorch '
        "resizes the table of the file, pos_embed='absolute' with pos_resize=dict(antialias=True)"
    }


FORMAT = Format(
    name='OpenVision',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('openvision',),
    implied=implied,
    cannot_tell=cannot_tell,
)
