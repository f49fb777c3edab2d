"""Renaming tensors by rules, and stacking tensors that `PlainViT` keeps as one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

QKV = ('attn.q', 'attn.k', 'attn.v')
GATED = ('mlp.gate', 'mlp.value')
"""Temporary names of parts that `stack` joins."""


def rename(state_dict: dict[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Apply every rule, a regular expression and its replacement, to every name, in order.

    Names that no rule knows stay as they are, so that the report of the loading lists them as left over.
    """
    compiled = [(re.compile(pattern), new) for pattern, new in rules]
    renamed = {}
    for name, tensor in state_dict.items():
        for pattern, new in compiled:
            name = pattern.sub(new, name)
        renamed[name] = tensor
    return renamed


def stack(weights: dict[str, Tensor], parts: Sequence[str], whole: str) -> dict[str, Tensor]:
    """Join the rows of weights, and of biases, that stand side by side.

    Args:
        weights: Names such as 'blocks.0.attn.q.weight'.
        parts: What the names of the parts contain, such as 'attn.q', in the order of the rows.
        whole: What the name of the joined tensor contains instead, such as 'attn.qkv'.

    Returns:
        The tensors with the joined ones in place of the parts. A bias that some parts have and others lack is zero
        for these (keys of BEiT and DINOv3 have none).
    """
    pattern = re.compile(rf'^(.*\b)({"|".join(map(re.escape, parts))})\.(weight|bias)$')
    joined: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        match = pattern.match(name)
        if match is None:
            joined[name] = tensor
            continue
        before, _, kind = match.groups()
        target = f'{before}{whole}.{kind}'
        if target not in joined:
            found = [weights.get(f'{before}{part}.{kind}') for part in parts]
            joined[target] = torch.cat([torch.zeros_like(tensor) if part is None else part for part in found])
    return joined
