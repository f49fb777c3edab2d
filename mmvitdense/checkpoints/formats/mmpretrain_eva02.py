"""EVA-02 of mmpretrain (``ViTEVA02``), whose queries, keys and values are fused.

mmpretrain computes rotary positions that are not EVA-02's; the tables of frequencies in published files replace them.
Here they tell the number of heads.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from . import eva02
from .parts.renaming import rename

NAME = 'mmpretrain EVA-02'
ANCHOR = 'layers.0.norm1.weight'
_RULES = (
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.', 'blocks.'),
    (r'^ln1\.', 'norm.'),
    (r'^ln2\.', 'fc_norm.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether blocks are called layers, and there are a gated network and a table of frequencies."""
    body = strip_prefix(state_dict, ANCHOR)
    signs = {'patch_embed.projection.weight', 'layers.0.mlp.w12.weight', 'rope.freqs_cos'}
    return body is not None and signs <= body.keys()


def convert(state_dict: dict[str, Tensor], num_heads: int | None = None) -> dict[str, Tensor]:
    """Rename to the layout of ``PlainViT``, with queries and keys in its order of channels."""
    return eva02.convert(_official(state_dict), num_heads)


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of ``PlainViT``; ``given`` ones win. Trained further by mmpretrain, keys get a bias."""
    weights = _official(state_dict)
    biases = [tensor.chunk(3)[1] for name, tensor in weights.items() if name.endswith('attn.qkv.bias')]
    if any(bias.any() for bias in biases):
        given = {'qkv_bias': True, **given}
    return eva02.options(weights, **given)


def tells_heads(state_dict: dict[str, Tensor]) -> bool:
    """Always: a table of frequencies is a sign of the format."""
    return True


def _official(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    return rename(strip_prefix(state_dict, ANCHOR), _RULES)
