"""TIPSv2 of `transformers` (`Tipsv2VisionModel`, or the model of both towers)."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.tips import is_tips

from .names import body_of, convert_body, has_blocks
from .settings import settings


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and one register stands beside the class token."""
    body = body_of(state_dict)
    if not has_blocks(body, 'layer_scale1.lambda1'):
        return False
    return is_tips(body.get('embeddings.cls_token'), body.get('embeddings.register_tokens'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the mask token keeps its name."""
    return convert_body(body_of(state_dict))


FORMAT = Format(
    name='transformers TIPS',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: ('tips',),
    config=settings,
)
