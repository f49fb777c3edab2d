"""IML-ViT: a ViTDet of its own names and a head that finds manipulated pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import detectron2_vitdet
from .contract import Format
from .parts.renaming import rename

_ENCODER = 'encoder_net.blocks.0.attn.qkv.weight'
_HEAD = 'predict_head.linear_predict.weight'
# Of the ViT and the pyramid those of detectron2, of which the code is a copy.
_TRUNK = ((r'^encoder_net\.', 'backbone.net.'), (r'^featurePyramid_net\.', 'backbone.'))
_RULES = (
    (r'^predict_head\.linear_fuse\.', 'decode_head.fuse.'),
    (r'^predict_head\.norm\.', 'decode_head.norm.'),
    (r'^predict_head\.linear_predict\.', 'decode_head.conv_seg.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are an encoder and a head of these names."""
    return _ENCODER in state_dict and _HEAD in state_dict


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to 'backbone.' (PlainViT), 'neck.' (SimpleFeaturePyramid) and 'decode_head.' (IMLHead)."""
    return detectron2_vitdet.convert(rename(rename(dict(state_dict), _TRUNK), _RULES))


def options(state_dict: dict[str, Tensor], **known: Any) -> dict[str, Any]:
    """Options of `PlainViT`; `known` ones win."""
    return detectron2_vitdet.options(rename(dict(state_dict), _TRUNK), **known)


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """As of detectron2."""
    return detectron2_vitdet.cannot_tell(rename(dict(state_dict), _TRUNK), options)


FORMAT = Format(
    name='IML-ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    own_options=options,
    cannot_tell=cannot_tell,
)
