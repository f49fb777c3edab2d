"""ViTs of torchvision (`vit_b_16`, ...): `VisionTransformer` of torchvision/models/vision_transformer.py."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.families import plain_families
from .parts.renaming import rename

ANCHOR = 'conv_proj.weight'
_BLOCK = 'encoder.layers.encoder_layer_0.'
_RULES = (
    (r'^class_token$', 'cls_token'),
    (r'^encoder\.pos_embedding$', 'pos_embed'),
    (r'^conv_proj\.', 'patch_embed.proj.'),
    (r'^encoder\.ln\.', 'norm.'),
    (r'^encoder\.layers\.encoder_layer_', 'blocks.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.self_attention\.in_proj_(weight|bias)$', r'.attn.qkv.\1'),
    (r'\.self_attention\.out_proj\.', '.attn.proj.'),
    # Numbers in files of today, words in those that were published first.
    (r'\.mlp\.(0|linear_1)\.', '.mlp.fc1.'),
    (r'\.mlp\.(3|linear_2)\.', '.mlp.fc2.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is the patch embedding, a class token, and the attention of torch in the blocks."""
    body = strip_prefix(state_dict, ANCHOR)
    needed = {'class_token', 'encoder.pos_embedding', f'{_BLOCK}self_attention.in_proj_weight'}
    return body is not None and needed <= body.keys()


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; the classifier keeps its names."""
    return rename(strip_prefix(state_dict, ANCHOR), _RULES)


FORMAT = Format(
    name='torchvision ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: plain_families(convert(state_dict)),
)
