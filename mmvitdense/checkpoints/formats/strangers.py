"""What a file of no known format looks like, by names that only one kind of model has.

The names are those of the official code, of timm, transformers, torchvision and OpenMMLab, as far as these differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The first one of which a file has a name counts: those of parts of others (a ResNet in a DETR) come after the whole.
_SIGNS = (
    ('weights of low rank that change another model (LoRA)', r'(^|\.)(lora_[AB]|lora[_.](up|down))\.'),
    ('a diffusion U-Net', r'(^|\.)(down_blocks\.\d+\.resnets\.|up_blocks\.\d+\.resnets\.|input_blocks\.\d+\.\d+\.)'),
    (
        'a diffusion transformer',
        r'(^|\.)(adaLN_modulation\.|(double|single)_blocks\.\d+\.|(single_)?transformer_blocks\.\d+\.'
        r'|blocks\.\d+\.modulation$)',
    ),
    ('a ViT behind a convolutional network (ViTamin, hybrids)', r'(^|\.)patch_embed\.backbone\.'),
    ('a model of video', r'(^|\.)(temporal_attention|temporal_embed|time_embeddings|pos_embed_temporal)(\.|$)'),
    (
        'a Swin Transformer',
        r'(^|\.)(layers|stages|features)\.\d+\.(blocks\.)?\d+\.(attn|attention)\.([\w.]+\.)?'
        r'(relative_position_bias_table|logit_scale|cpb_mlp\.|continuous_position_bias_mlp\.)',
    ),
    (
        'a ConvNeXt',
        r'(^|\.)stages\.\d+\.((blocks|layers)\.)?\d+\.(dwconv|conv_dw|depthwise_conv)\.'
        r'|(^|\.)features\.\d+\.\d+\.layer_scale$',
    ),
    (
        'a Hiera',
        r'(^|\.)(blocks\.\d+\.proj\.(proj\.)?weight|pos_embed_win(dow)?|encoder\.stages\.\d+\.layers\.\d+\.attn\.qkv\.weight)$',
    ),
    ('a FasterViT or an E-RADIO', r'(^|\.)levels\.\d+\.blocks\.\d+\.'),
    ('a multiscale ViT (MViT)', r'(^|\.)attn\.(pool_[qkv]|norm_[qkv])\.|(^|\.)pool_[qkv]\.weight$'),
    (
        'a pyramid of attention (SegFormer, PVT)',
        r'(^|\.)(patch_embed[1-4]\.proj|block[1-4]\.\d+\.attn|patch_embeddings\.\d\.proj(ection)?|'
        r'blocks\.\d+\.attn\.(kv|sr)|sequence_reduction(\.sequence_reduction)?)\.',
    ),
    ('the text tower of a CLIP, SigLIP or TIPS', r'(^|\.)(token_embedding\.weight$|text_model\.)'),
    (
        'a language model',
        r'(^|\.)(embed_tokens|word_embeddings|tok_embeddings|token_embd|wte|lm_head)\.weight$|^shared\.weight$',
    ),
    ('a Faster or Mask R-CNN', r'(^|\.)(rpn\.head|rpn_head|roi_heads?|proposal_generator)\.'),
    ('a DETR', r'(^|\.)(query_embed|query_position_embeddings|class_embed)\.'),
    ('a YOLO', r'^(model\.)?\d+\.(conv|cv1\.conv|m\.\d+\.cv1\.conv)\.weight$|(^|\.)dfl\.conv\.weight$'),
    (
        'a ResNet',
        r'(^|\.)(layer[1-4]\.\d+\.(conv1|bn1)|res[2-5]\.\d+\.conv1)\.'
        r'|(^|\.)encoder\.stages\.\d+\.layers\.\d+\.layer\.\d+\.convolution\.',
    ),
    (
        'a MobileNet or an EfficientNet',
        r'(^|\.)(blocks\.\d+\.\d+\.(conv_dw|conv_pw)|features\.\d+\.(\d+\.)?(conv|block)\.\d)',
    ),
    ('a RegNet', r'(^|\.)s[1-4]\.b\d+\.conv1\.|(^|\.)trunk_output\.block\d'),
    ("a NAF, which lift=dict(init_cfg=dict(type='NAFPretrained', ...)) loads", r'(^|\.)image_encoder\.sem_encoder\.\d'),
    ("a LiFT, which lift=dict(init_cfg=dict(type='LiFTPretrained', ...)) loads", r'(^|\.)up1\.conv_1\.double_conv\.'),
    ('a VGG or an AlexNet', r'(^|\.)features\.\d+\.(weight|bias)$'),
    ('a model whose weights are quantised', r'\.(qweight|qzeros|absmax|quant_map|SCB|zero_point|_packed_params)(\.|$)'),
    ('a network of convolutions with batch norms', r'\.running_mean$'),
)
_COMPILED = tuple((what, re.compile(pattern)) for what, pattern in _SIGNS)

HIERA = (
    'these look like the weights of a Hiera, whose blocks change their width and pool their queries, which PlainViT '
    'does not do: take a plain ViT'
)


def looks_like(names: Iterable[str]) -> str | None:
    """What the names of weights are typical of, such as 'a Swin Transformer'; None where they are of nothing known."""
    names = list(names)
    return next((what for what, sign in _COMPILED if any(sign.search(name) for name in names)), None)
