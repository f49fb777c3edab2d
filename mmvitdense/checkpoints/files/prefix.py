"""Prefixes that training frameworks put before the names of a ViT's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

# Where a file holds several models of the same kind, the one to take: the slow copy of a distillation, but the base
# encoder of MoCo, whose momentum encoder is not what is published; the image tower of two.
_PREFERRED = ('teacher', 'target_encoder', 'model_ema', 'ema', 'base_encoder', 'visual', 'vision_model')
# A frozen copy of another pre-training, which distils (MAE-Lite).
_OTHERS = ('tch_model',)
# torch.compile, FSDP and activation checkpointing insert these anywhere.
_WRAPPERS = re.compile(r'(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')
_OUTER = ('module.', 'model.', 'state_dict.')


def strip_prefix(state_dict: dict[str, Tensor], anchor: str) -> dict[str, Tensor] | None:
    """Remove what precedes `anchor` from the names that share it, and drop the others.

    Args:
        state_dict: Any checkpoint.
        anchor: A name that the format is sure to have, such as 'blocks.0.attn.qkv.weight'.

    Returns:
        The part of the checkpoint under the prefix of `anchor`; None when no name ends with it, or several do and
        nothing determines which to take.
    """
    prefix = find_prefix(state_dict, anchor)
    if prefix is None:
        return None
    return {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}


def find_prefix(names: Iterable[str], anchor: str) -> str | None:
    """What precedes `anchor`, '' for nothing; None when no name ends with it, or several equally likely ones do."""
    pattern = re.compile(rf'^(.*\.)?{re.escape(anchor)}$')
    prefixes = {match[1] or '' for name in names if (match := pattern.match(name))}
    prefixes = {prefix for prefix in prefixes if not set(_OTHERS) & set(prefix.split('.'))} or prefixes
    for word in _PREFERRED:
        if len(prefixes) > 1:
            prefixes = {prefix for prefix in prefixes if word in prefix.split('.')} or prefixes
    return prefixes.pop() if len(prefixes) == 1 else None


def without_wrappers(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the marks of wrappers from all names: torch.compile, data parallelism, FSDP, Lightning."""
    state_dict = {_WRAPPERS.sub('', name): value for name, value in state_dict.items()}
    while outer := next((o for o in _OUTER if state_dict and all(name.startswith(o) for name in state_dict)), None):
        state_dict = {name.removeprefix(outer): value for name, value in state_dict.items()}
    return state_dict
