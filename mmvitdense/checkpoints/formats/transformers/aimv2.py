"""AIMv2 of `transformers` (`Aimv2VisionModel`, or the model of both towers)."""

from __future__ import annotations

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix
from mmvitdense.checkpoints.formats.aimv2 import cannot_tell, families, implied
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.renaming import GATED, QKV, rename, stack

from .settings import settings

ANCHOR = 'embeddings.patch_embed.weight'
_RULES = (
    (r'^embeddings\.patch_embed\.', 'patch_embed.proj.'),
    (r'^embeddings\.rms_norm\.', 'patch_embed.norm.'),
    (r'^embeddings\.position_embedding\.weight$', 'pos_embed'),
    (r'^rms_norm\.', 'norm.'),
    (r'^encoder\.layers\.', 'blocks.'),
    (r'^(blocks\.\d+\.)rms_norm([12])\.', r'\1norm\2.'),
    (r'^(blocks\.\d+\.)attention\.([qkv])_proj\.', r'\1attn.\2.'),
    (r'^(blocks\.\d+\.)attention\.out_proj\.', r'\1attn.proj.'),
    (r'^(blocks\.\d+\.)ffn\.gate_proj\.', r'\1mlp.gate.'),
    (r'^(blocks\.\d+\.)ffn\.up_proj\.', r'\1mlp.value.'),
    (r'^(blocks\.\d+\.)ffn\.down_proj\.', r'\1mlp.w3.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are gated networks and norms by the root mean square beside a patch embedding."""
    body = strip_prefix(state_dict, ANCHOR)
    signs = {f'encoder.layers.0.{name}.weight' for name in ('rms_norm1', 'ffn.gate_proj')}
    return body is not None and signs <= body.keys()


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; heads keep their names."""
    body = {n: x for n, x in strip_prefix(state_dict, ANCHOR).items() if not n.endswith('position_ids')}
    weights = stack(stack(rename(body, _RULES), QKV, 'attn.qkv'), GATED, 'mlp.w12')
    if 'pos_embed' in weights:
        weights['pos_embed'] = weights['pos_embed'][None]
    return weights


FORMAT = Format(
    name='transformers AIMv2',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: families(convert(state_dict)),
    implied=lambda state_dict: implied(convert(state_dict)),
    cannot_tell=cannot_tell,
    config=settings,
)
