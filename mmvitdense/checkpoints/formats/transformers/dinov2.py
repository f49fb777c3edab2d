"""DINOv2 of `transformers`, with and without registers, with plain and gated feed-forward networks."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.tips import is_tips

from .names import body_of, convert_body, has_blocks
from .settings import settings


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks have LayerScale under the name of DINOv2, and there is a table of positions; not of TIPS."""
    body = body_of(state_dict)
    if not has_blocks(body, 'layer_scale1.lambda1') or 'embeddings.position_embeddings' not in body:
        return False
    return not is_tips(body.get('embeddings.cls_token'), body.get('embeddings.register_tokens'))


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; mask token and classifiers keep their names."""
    return convert_body(body_of(state_dict))


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """Those with registers are another family. `transformers` itself resizes positions by another rule."""
    return ('dinov2-reg',) if 'embeddings.register_tokens' in body_of(state_dict) else ('dinov2',)


FORMAT = Format(
    name='transformers DINOv2',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    config=settings,
)
