"""What the ViT layouts of `transformers` have in common.

Files keep the names of transformers 4 (`encoder.layer.0.attention.attention.query`); models of transformers 5 have
others in memory (`layers.0.attention.q_proj`). Both are read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.parts.renaming import GATED, QKV, rename, stack

ANCHOR = 'embeddings.patch_embeddings.projection.weight'
_ROOTS = tuple(f'{outer}{name}' for outer in ('encoder.', 'model.', '') for name in ('layer', 'layers'))
_RULES = (
    (r'^embeddings\.(cls_token|register_tokens)$', r'\1'),
    (r'^embeddings\.distillation_token$', 'dist_token'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.(projection\.)?(weight|bias)$', r'patch_embed.proj.\2'),
    (r'^layernorm\.', 'norm.'),
    (r'^(encoder\.|model\.)?layers?\.(\d+)\.', r'blocks.\2.'),
    (r'^(blocks\.\d+\.)layernorm_before\.', r'\1norm1.'),
    (r'^(blocks\.\d+\.)layernorm_after\.', r'\1norm2.'),
    (r'^(blocks\.\d+\.)attention\.(attention\.)?(q)(uery|_proj)\.', r'\1attn.\3.'),
    (r'^(blocks\.\d+\.)attention\.(attention\.)?(k)(ey|_proj)\.', r'\1attn.\3.'),
    (r'^(blocks\.\d+\.)attention\.(attention\.)?(v)(alue|_proj)\.', r'\1attn.\3.'),
    (r'^(blocks\.\d+\.)attention\.(output\.dense|o_proj)\.', r'\1attn.proj.'),
    (r'^(blocks\.\d+\.)intermediate\.dense\.', r'\1mlp.fc1.'),
    (r'^(blocks\.\d+\.)output\.dense\.', r'\1mlp.fc2.'),
    (r'^(blocks\.\d+\.)mlp\.weights_in\.', r'\1mlp.w12.'),
    (r'^(blocks\.\d+\.)mlp\.weights_out\.', r'\1mlp.w3.'),
    (r'^(blocks\.\d+\.)(lambda_|layer_scale)([12])(\.lambda1)?$', r'\1ls\3.gamma'),
    (r'relative_position_bias\.relative_position_bias_table$', 'relative_position_bias_table'),
)


def body_of(state_dict: dict[str, Tensor], anchor: str = ANCHOR) -> dict[str, Tensor] | None:
    """The encoder without its prefix ('vit.', 'beit.', ...); None where `anchor` is not there exactly once."""
    return strip_prefix(state_dict, anchor)


def has_blocks(body: dict[str, Tensor] | None, part: str) -> bool:
    """Whether the first block has the parameter `part`; the blocks of stages, as a Hiera has, are none of these."""
    return body is not None and any(f'{root}.0.{part}' in body for root in _ROOTS)


def convert_body(body: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; names that are not those of the encoder stay."""
    weights = rename(body, _RULES)
    if (registers := weights.get('register_tokens')) is not None and not registers.numel():
        del weights['register_tokens']  # models without registers have an empty parameter
    gated = any('mlp.gate_proj.' in name for name in weights)
    weights = rename(
        weights,
        (
            (r'(?<=mlp\.)gate_proj\.', 'gate.'),
            (r'(?<=mlp\.)up_proj\.', 'value.' if gated else 'fc1.'),
            (r'(?<=mlp\.)down_proj\.', 'w3.' if gated else 'fc2.'),
        ),
    )
    return fold_distillation_token(stack(stack(weights, QKV, 'attn.qkv'), GATED, 'mlp.w12'))


def fold_distillation_token(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn 'dist_token' of DeiT into a register with the position it has in the table, which computes the same."""
    if 'dist_token' not in weights:
        return weights
    weights = dict(weights)
    table = weights['pos_embed']
    weights['register_tokens'] = weights.pop('dist_token') + table[:, 1:2]
    weights['pos_embed'] = torch.cat([table[:, :1], table[:, 2:]], dim=1)
    return weights
