"""Prefixes that training frameworks put before the names of a ViT's parameters."""

from __future__ import annotations

import re

from torch import Tensor


def strip_prefix(state_dict: dict[str, Tensor], anchor: str) -> dict[str, Tensor] | None:
    """Remove what precedes ``anchor`` from the names that share it, and drop the others.

    Args:
        state_dict: Any checkpoint.
        anchor: A name that the format is sure to have, such as 'blocks.0.attn.qkv.weight'.

    Returns:
        The part of the checkpoint under the prefix of ``anchor``; None when no name or several end with it.
    """
    pattern = re.compile(rf'^(.*\.)?{re.escape(anchor)}$')
    prefixes = {match[1] or '' for name in state_dict if (match := pattern.match(name))}
    if len(prefixes) != 1:
        return None
    prefix = prefixes.pop()
    return {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}
