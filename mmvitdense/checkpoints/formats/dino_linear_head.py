"""Linear segmentation heads of DINOv2 and DINOv3 without their trunk.

DINOv2 publishes `dinov2_vit*14_{ade20k,voc2012}_{linear,ms}_head.pth` in the layout of mmsegmentation; DINOv3's
training (`dinov3/eval/segmentation/train.py`) keeps the head as the second part of a list.
"""

from __future__ import annotations

from torch import Tensor

from .contract import Format
from .parts.renaming import rename

_HEAD = 'decode_head.'
_LIST = 'segmentation_model.1.'
_LAYERS = ('bn.', 'conv_seg.')
_RULES = (
    (r'^segmentation_model\.1\.batchnorm_layer\.', 'decode_head.bn.'),
    (r'^segmentation_model\.1\.conv\.', 'decode_head.conv_seg.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are the layers of such a head and nothing else."""
    if not state_dict.keys() & {f'{_HEAD}conv_seg.weight', f'{_LIST}conv.weight'}:
        return False
    layers = tuple(f'{_HEAD}{layer}' for layer in _LAYERS)
    return all(name.startswith(layers) for name in convert(state_dict))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `LinearSegHead` under 'decode_head.'."""
    return rename(state_dict, _RULES)


FORMAT = Format(
    name='DINO linear head',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='LinearSegHead',
    tells_options=False,
    trunk=lambda state_dict: 'missing',
)
