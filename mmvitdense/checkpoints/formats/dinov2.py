"""DINOv2 with and without registers, and SoftCon, in its own layout, in the chunks it is trained in, and in timm's."""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.layers.positions.table_rows import CLASS_POSITIONS, square_side
from mmvitdense.pretrainings import PRETRAININGS

from .contract import Format
from .parts.timm_names import block_names, body_of, convert_body

_REGISTERS = 4
_GRID_OF_SOFTCON = 16
_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.(fc[12]|w12|w3))\.\w+|ls[12]\.gamma')


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the blocks are DINOv2's, see `is_dinov2`."""
    body = body_of(state_dict)
    return body is not None and is_dinov2(body)


def is_dinov2(body: dict[str, Tensor]) -> bool:
    """Whether there are DINOv2's blocks, a class token, and no registers or a number of them that DINOv2 may have.

    One register is TIPS'. timm has ViTs of its own, and RADIO, with other numbers and with registers alone.
    """
    if not has_dinov2_blocks(body) or 'cls_token' not in body:
        return False
    if 'reg_token' in body:
        return body['reg_token'].shape[1] == _REGISTERS
    return 'register_tokens' not in body or body['register_tokens'].shape[1] > 1


def has_dinov2_blocks(body: dict[str, Tensor]) -> bool:
    """Whether there are LayerScale, a table of positions and a sign of DINOv2.

    Such are the mask token, registers, a gated network, or patches of 14 pixels with a position of the class token and
    a last norm (DeiT III, which has the same blocks, has no such position, and InternViT no norm).
    """
    names = block_names(body)
    table = body.get('pos_embed')
    if table is None or 'ls1.gamma' not in names or not all(_BLOCK.fullmatch(name) for name in names):
        return False
    if ('mlp.w12.weight' in names) == ('mlp.fc1.weight' in names):
        return False
    signs = ('mask_token', 'register_tokens', 'reg_token')
    is_14 = body['patch_embed.proj.weight'].shape[-1] == 14 and 'norm.weight' in body
    return any(sign in body for sign in signs) or (is_14 and square_side(table.shape[1] - CLASS_POSITIONS) is not None)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the mask token keeps its name."""
    return convert_body(body_of(state_dict))


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """Those with registers are another family: they resize positions by another rule; those for bands are SoftCon's."""
    body = body_of(state_dict)
    if {'register_tokens', 'reg_token'} & body.keys():
        return ('dinov2-reg',)
    is_224 = body['pos_embed'].shape[1] == _GRID_OF_SOFTCON**2 + CLASS_POSITIONS
    channels = body['patch_embed.proj.weight'].shape[1]
    return ('softcon',) if is_224 and channels in PRETRAININGS['softcon'].bands else ('dinov2',)


FORMAT = Format(
    name='DINOv2',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
)
