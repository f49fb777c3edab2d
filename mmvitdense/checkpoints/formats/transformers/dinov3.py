"""DINOv3 and LingBot-Vision under the names of `transformers` (`DINOv3ViTModel`), networks plain or gated."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.dinov3 import families_of

from .names import body_of, convert_body, has_blocks
from .settings import settings

ANCHOR = 'embeddings.patch_embeddings.weight'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and the patch embedding is a bare convolution."""
    return has_blocks(body_of(state_dict, ANCHOR), 'layer_scale1.lambda1')


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the mask token and classifiers keep their names."""
    return convert_body(body_of(state_dict, ANCHOR))


FORMAT = Format(
    name='transformers DINOv3',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: families_of(convert(state_dict)),
    config=settings,
)
