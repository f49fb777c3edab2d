"""TIPS and TIPSv2, in their own layout (also as `.npz`) and in timm's: DINOv2's blocks with a second class token."""

from __future__ import annotations

from torch import Tensor

from .contract import Format
from .dinov2 import has_dinov2_blocks
from .parts.renaming import rename
from .parts.timm_names import body_of, convert_body

REGISTERS = 1
"""The second class token has no position, as a register; DINOv2 has four registers or none."""
# transformers writes files with the names of TIPS, and in them the network by the name that it has in the text tower.
_NETWORK = ((r'\.mlp\.c_fc\.', '.mlp.fc1.'), (r'\.mlp\.c_proj\.', '.mlp.fc2.'))


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether the blocks are DINOv2's, and there is one register beside the class token."""
    body = _body_of(state_dict)
    if body is None or not has_dinov2_blocks(body):
        return False
    return is_tips(body.get('cls_token'), body.get('register_tokens', body.get('reg_token')))


def is_tips(cls_token: Tensor | None, registers: Tensor | None) -> bool:
    """Whether the tokens before the patches are those of TIPS."""
    return cls_token is not None and registers is not None and registers.shape[1] == REGISTERS


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the mask token keeps its name."""
    return convert_body(_body_of(state_dict))


def _body_of(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    body = body_of(state_dict)
    return None if body is None else rename(body, _NETWORK)


FORMAT = Format(
    name='TIPS',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('tips',),
)
