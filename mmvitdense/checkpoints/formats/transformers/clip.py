"""The image towers of CLIP and SigLIP in `transformers`, alone or in the model of both towers."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.renaming import QKV, rename, stack

from .settings import settings

ANCHOR = 'embeddings.patch_embedding.weight'
BLOCK = 'encoder.layers.0.self_attn.q_proj.weight'
_RULES = (
    (r'^embeddings\.class_embedding$', 'cls_token'),
    (r'^embeddings\.position_embedding\.weight$', 'pos_embed'),
    (r'^embeddings\.patch_embedding\.', 'patch_embed.proj.'),
    (r'^pre_laye?rnorm\.', 'norm_pre.'),  # spelled so in CLIP, and well in OWL-ViT
    (r'^post_layernorm\.', 'norm.'),
    (r'^encoder\.layers\.', 'blocks.'),
    (r'^(blocks\.\d+\.)layer_norm([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.)self_attn\.([qkv])_proj\.', r'\1attn.\2.'),
    (r'^(blocks\.\d+\.)self_attn\.out_proj\.', r'\1attn.proj.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one patch embedding with the blocks of these towers beside it."""
    body = strip_prefix(state_dict, ANCHOR)
    if body is None or not {BLOCK, 'embeddings.position_embedding.weight'} <= body.keys():
        return False  # MLCD has rotary positions instead of a table
    return body[ANCHOR].ndim != 2  # SigLIP 2 NaFlex has a linear layer


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; heads of the tower keep their names."""
    return convert_tower(strip_prefix(state_dict, ANCHOR))


def convert_tower(body: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same of a tower without its prefix."""
    weights = rename({name: tensor for name, tensor in body.items() if not name.endswith('position_ids')}, _RULES)
    weights['pos_embed'] = weights['pos_embed'][None]
    if 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'].reshape(1, 1, -1)
    return stack(weights, QKV, 'attn.qkv')


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """CLIP where a norm precedes the blocks, else SigLIP; 'hidden_act' in config.json says whether CLIP or OpenCLIP."""
    return ('clip', 'openclip', 'datacomp') if 'norm_pre.weight' in convert(state_dict) else ('siglip', 'siglip2')


FORMAT = Format(
    name='transformers CLIP or SigLIP',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    config=settings,
)
