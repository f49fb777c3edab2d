"""Where a checkpoint holds a ViT-CoMer or ViT-Adapter, and its ViT."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import find_prefix

VIT = 'vit.'
"""Prefix of the ViT in this project's `ViTCoMer` and `ViTAdapter`; the official names have none."""

_BACKBONE = 'backbone.'
# The first layer of the convolutional stem, which both models have.
_STEM = 'spm.stem.0.weight'


class Adapter(NamedTuple):
    """An adapter in a checkpoint: what precedes its names, its tensors, and those of the model around it."""

    prefix: str
    backbone: dict[str, Tensor]
    others: dict[str, Tensor]


def holds_adapter(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is the convolutional stem of ViT-CoMer and ViT-Adapter, of whatever spelling."""
    return any(name == _STEM or name.endswith(f'.{_STEM}') for name in state_dict)


def find_adapter(state_dict: dict[str, Tensor]) -> Adapter | None:
    """Take the adapter apart from the neck and heads beside it; None where there is not exactly one."""
    prefix = find_prefix(state_dict, _STEM)
    if prefix is None:
        return None
    outer = prefix.removesuffix(_BACKBONE)
    backbone = {name[len(prefix) :]: x for name, x in state_dict.items() if name.startswith(prefix)}
    others = {
        name[len(outer) :]: x
        for name, x in state_dict.items()
        if name.startswith(outer) and not name.startswith(prefix)
    }
    return Adapter(prefix, backbone, others)


def trunk_of(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The ViT of an adapter, from the names of this project."""
    return {name.removeprefix(VIT): x for name, x in weights.items() if name.startswith(VIT)}
