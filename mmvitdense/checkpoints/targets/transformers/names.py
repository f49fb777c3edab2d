"""Names and settings that the ViTs of transformers have in common, as files have them (those of transformers 4)."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.formats.parts.renaming import rename
from mmvitdense.checkpoints.formats.transformers.settings import ACTIVATIONS
from mmvitdense.checkpoints.targets.contract import Options, Weights
from mmvitdense.checkpoints.targets.parts import side_of, split_qkv

PLAIN_RULE = {'by': 'size', 'antialias': False, 'mode': 'bicubic'}
OPENS = 'transformers.AutoModel.from_pretrained({path})'
SOME = range(1, 10**6)
"""Numbers of registers of models that have at least one."""

_PARTS = tuple(f'attention.attention.{part}' for part in ('query', 'key', 'value'))
_TOP = (
    (r'^(cls_token|register_tokens|mask_token)$', r'embeddings.\1'),
    (r'^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^norm\.', 'layernorm.'),
    (r'^blocks\.', 'encoder.layer.'),
    (r'\.attn\.proj\.', '.attention.output.dense.'),
)


def encoder_names(weights: Weights, *rules: tuple[str, str], key_bias: bool = True) -> Weights:
    """Names of an encoder whose layers are 'encoder.layer.0.attention.attention.query' and so on.

    Args:
        weights: Names of `PlainViT`.
        rules: For what the model calls otherwise.
        key_bias: Whether keys have a bias.
    """
    return rename(split_qkv(weights, _PARTS, key_bias), (*_TOP, *rules))


def common(model: str, model_type: str, options: Options) -> dict[str, Any]:
    """What config.json has of every ViT."""
    return {
        'architectures': [model],
        'model_type': model_type,
        'hidden_size': options['embed_dims'],
        'num_hidden_layers': options['num_layers'],
        'num_attention_heads': options['num_heads'],
        'hidden_act': ACTIVATIONS[options['act']],
        'layer_norm_eps': options['norm_eps'],
        'image_size': side_of(options),
        'patch_size': options['patch_size'],
        'num_channels': options['in_channels'],
    }
