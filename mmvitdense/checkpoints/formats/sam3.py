"""The image encoder of SAM 3 under its own names: a ViT with windows, of the origin of Perception Encoder.

Its table of positions repeats, and the row of the class token in it is dropped. Necks, texts and trackers are dropped
with their prefix.
"""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor

from mmvitdense.layers.positions.table_rows import CLASS_POSITIONS, square_side

from .contract import Format
from .parts.patches import patch_sides
from .parts.renaming import rename
from .parts.timm_names import block_names, body_of, convert_body

WINDOW = 24
_ANGLES = 'attn.freqs_cis'
_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.(weight|bias)|attn\.freqs_cis')
_BLOCK_ANGLES = re.compile(r'^blocks\.(\d+)\.attn\.freqs_cis$')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are a norm before plain blocks under the name of this code, and positions."""
    body = body_of(state_dict)
    if body is None or not {'ln_pre.weight', 'pos_embed'} <= body.keys() or 'cls_token' in body:
        return False
    return all(_BLOCK.fullmatch(name) for name in block_names(body))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`."""
    body = {name: tensor for name, tensor in body_of(state_dict).items() if not name.endswith(_ANGLES)}
    weights = rename(convert_body(body), ((r'^ln_pre\.', 'norm_pre.'), (r'^ln_post\.', 'norm.')))
    if square_side(weights['pos_embed'].shape[1]) is None:
        weights['pos_embed'] = weights['pos_embed'][:, CLASS_POSITIONS:]
    return weights


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """Windows, whose angles are in the file, or those of the published model."""
    sides = _sides(state_dict)
    if len(set(sides.values())) != 2:
        return {'window_size': WINDOW}
    window, whole = sorted(set(sides.values()))
    return {
        'window_size': window,
        'global_blocks': tuple(sorted(block for block, side in sides.items() if side == whole)),
        'img_size': whole * patch_sides(convert(state_dict))[0],
        'rope': {'kind': 'axial', 'pretrain_grid': window},
    }


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The windows, without the angles."""
    return {} if 'global_blocks' in implied(state_dict) else unsure_of_windows(options)


def unsure_of_windows(options: dict[str, Any]) -> dict[str, str]:
    """Windows of a model that is not the published one are a guess."""
    if (options['embed_dims'], options['num_layers']) == (1024, 32):
        return {}
    return {'window_size': 'nothing in the weights shows windows; the published model has these'}


def _sides(state_dict: dict[str, Tensor]) -> dict[int, int]:
    """{block: side of the window, or of the map, that its angles are of}."""
    found = {int(match[1]): len(x) for n, x in body_of(state_dict).items() if (match := _BLOCK_ANGLES.match(n))}
    return {block: math.isqrt(count) for block, count in found.items()}


FORMAT = Format(
    name='SAM 3',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('sam3',),
    implied=implied,
    cannot_tell=cannot_tell,
)
