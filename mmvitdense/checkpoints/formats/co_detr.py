"""Co-DETR of Sense-X/Co-DETR (and its copy in `projects` of mmdet 3), a whole detector, its ViT that of EVA-02.

Published files have averaged weights under the usual names, those of the last step in buffers, which are dropped, as
are tables of rotary positions. Files on a ResNet or a Swin Transformer are converted too, their backbone as it is.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from . import eva02
from .contract import Format, Weights
from .parts.adapter_parts import holds_adapter
from .parts.co_detr_names import is_co_detr, rename_co_detr
from .parts.implied_options import implied_options

BACKBONE = 'backbone.'
_ANCHOR = 'backbone.blocks.0.attn.q_proj.weight'
# One table for all windows and one for the map, besides one in each block.
_TABLES = re.compile(r'^backbone\.rope_(win|glb)\.')


def matches(state_dict: Weights) -> bool:
    """Whether there are heads of Co-DETR; those on a ViT-CoMer are in a file of that layout."""
    return is_co_detr(state_dict) and not holds_adapter(state_dict)


def convert(state_dict: Weights, num_heads: int | None = None) -> Weights:
    """Rename to `CoDETR` with a `PlainViT` under 'backbone.'."""
    others = rename_co_detr({name: x for name, x in state_dict.items() if not name.startswith(BACKBONE)})
    if _ANCHOR not in state_dict:
        return {**{name: x for name, x in state_dict.items() if name.startswith(BACKBONE)}, **others}
    trunk = eva02.convert(_trunk(state_dict), num_heads)
    renamed = {name.replace('out_norm.', 'norm.'): x for name, x in trunk.items()}
    return {**{f'{BACKBONE}{name}': x for name, x in renamed.items()}, **others}


def options(state_dict: Weights, **given: Any) -> dict[str, Any]:
    """Options of `PlainViT`; `given` ones win.

    Raises:
        CheckpointError: The backbone is no ViT.
    """
    if _ANCHOR not in state_dict:
        raise CheckpointError('this Co-DETR has no ViT as its backbone; expected one: build its model from a config')
    weights = convert(state_dict, given.get('num_heads'))
    weights = {name.removeprefix(BACKBONE): x for name, x in weights.items() if name.startswith(BACKBONE)}
    depth = 1 + max(int(name.split('.')[1]) for name in weights if name.startswith('blocks.'))
    known = {'window_size': 24, 'global_blocks': tuple(range(3, depth, 4)), 'final_norm_eps': 1e-5}
    known |= eva02.implied(_trunk(state_dict))
    return implied_options(weights, given, ('eva02',), **known)


def cannot_tell(state_dict: Weights, options: dict[str, Any]) -> dict[str, str]:
    """The windows."""
    return {
        'window_size': 'not in the weights; 24 in the released model of COCO, 16 in that of LVIS',
        'global_blocks': 'not in the weights; 3, 7, ... in the released model of COCO, 2, 5, ... in that of LVIS',
    }


def tells_heads(state_dict: Weights) -> bool:
    """Whether there is a table of frequencies, as wide as a head."""
    return _ANCHOR in state_dict and eva02.tells_heads(_trunk(state_dict))


def _trunk(state_dict: Weights) -> dict[str, Tensor]:
    """The ViT in its own names."""
    return {
        name.removeprefix(BACKBONE): x
        for name, x in state_dict.items()
        if name.startswith(BACKBONE) and not _TABLES.match(name)
    }


FORMAT = Format(
    name='Co-DETR',
    about=__doc__,
    matches=matches,
    convert=convert,
    own_options=options,
    cannot_tell=cannot_tell,
    tells_heads=tells_heads,
    ordered_by_heads=True,
)
