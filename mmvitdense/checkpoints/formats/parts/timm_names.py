"""What the layouts around timm's have in common: `blocks.0.attn.qkv.weight` or `blocks.0.attn.q_proj.weight`.

Official code of MAE, DeiT, DINO, iBOT, MoCo v3, BEiT, SimMIM, DINOv2, DINOv3, SAM and EVA-02 descends from timm, and
spells the same parts in a few ways. Which family a file is of follows from the names of its blocks, all of which a
format has to know.
"""

from __future__ import annotations

import re

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats import benchmarking_vitdet, detectron2_vitdet, plain_vit
from mmvitdense.checkpoints.formats.transformers.names import fold_distillation_token

from .adapter_parts import holds_adapter
from .co_detr_names import is_co_detr
from .renaming import GATED, QKV, rename, stack

# Fused, split, and in the chunks that DINOv2 trains in, whose second number is that of the block.
ANCHORS = ('blocks.0.attn.qkv.weight', 'blocks.0.attn.q_proj.weight', 'blocks.0.0.attn.qkv.weight')
_BLOCK = re.compile(r'^blocks\.(?:\d+\.)?(\d+)\.(.+)$')
_RULES = (
    (r'^blocks\.\d+\.(\d+)\.', r'blocks.\1.'),
    (r'^(reg_token|storage_tokens)$', 'register_tokens'),
    (r'\.gamma_?([12])$', r'.ls\1.gamma'),
    (r'\.attn\.([qkv])_proj\.', r'.attn.\1.'),
    (r'\.attn\.([qkv])_bias$', r'.attn.\1.bias'),
    (r'\.attn\.(inner_attn_ln|norm)\.', '.attn.inner_norm.'),
    (r'\.mlp\.lin([12])\.', r'.mlp.fc\1.'),
    (r'\.mlp\.(w1|fc1_g)\.', '.mlp.gate.'),
    (r'\.mlp\.(w2|fc1_x)\.', '.mlp.value.'),
    (r'\.mlp\.ffn_ln\.', '.mlp.norm.'),
)
# Computed from the sizes, not learned; a format reads what it needs of them before.
_BUFFERS = re.compile(r'(^|\.)(relative_position_index|bias_mask|periods|rope\.freqs_(cos|sin))$')


def body_of(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """The ViT without its prefix; None where there is not exactly one of these layouts.

    Models of this project and of detectron2, detectors, ViT-CoMer and ViT-Adapter have the same blocks inside and are
    not of these layouts.
    """
    own = (plain_vit, detectron2_vitdet, benchmarking_vitdet)
    if holds_adapter(state_dict) or is_co_detr(state_dict) or any(form.matches(state_dict) for form in own):
        return None
    bodies = [body for anchor in ANCHORS if (body := strip_prefix(state_dict, anchor)) is not None]
    if len(bodies) != 1 or 'patch_embed.proj.weight' not in bodies[0]:
        return None
    return bodies[0]


def block_names(body: dict[str, Tensor]) -> set[str]:
    """Names within blocks: 'attn.qkv.weight', ..."""
    return {match[2] for name in body if (match := _BLOCK.match(name))}


def has_gated_mlp(body: dict[str, Tensor]) -> bool:
    """Whether the feed-forward network is gated, which a packed first layer shows in its size alone."""
    names = block_names(body)
    if names & {'mlp.w12.weight', 'mlp.w1.weight', 'mlp.fc1_g.weight'}:
        return True
    first, second = (body.get(f'blocks.0.mlp.fc{i}.weight') for i in (1, 2))
    return first is not None and second is not None and first.shape[0] == 2 * second.shape[1]


def convert_body(body: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; names that are not those of the ViT stay, buffers are dropped."""
    gated = has_gated_mlp(body)
    weights = rename({name: value for name, value in body.items() if not _BUFFERS.search(name)}, _RULES)
    if gated:
        weights = rename(weights, ((r'\.mlp\.fc1\.', '.mlp.w12.'), (r'\.mlp\.fc2\.', '.mlp.w3.')))
    weights = stack(stack(weights, QKV, 'attn.qkv'), GATED, 'mlp.w12')
    if 'norm.weight' not in weights:
        # Models fine-tuned with mean pooling norm the mean of the patches instead of the tokens.
        weights = rename(weights, ((r'^fc_norm\.', 'norm.'),))
    return fold_distillation_token(weights)
