"""What models that hold a plain ViT share."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmvitdense.registry import MODELS


def build_vit(options: dict[str, Any]) -> nn.Module:
    """Build the ViT of a config, ``PlainViT`` where that names no type.

    Without its ``out_indices``, which are of no account to those who run the blocks themselves, and after the last of
    which blocks would be frozen.
    """
    options = {name: value for name, value in options.items() if name != 'out_indices'}
    return MODELS.build({'type': 'mmvitdense.PlainViT', **options})
