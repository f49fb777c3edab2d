"""What models that hold a ViT share."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmvitdense.registry import MODELS

from .vit import ViT


def build_held_vit(vit: dict[str, Any] | ViT, in_channels: int | None = None, **defaults: Any) -> ViT:
    """The ViT of a holder: the module that it is given, as it is, or what is built from a config.

    A config without type is that of a ``PlainViT``. Its ``out_indices`` are left out: they are of no account to those
    who run the blocks themselves, and blocks after the last of them would be frozen.

    Args:
        vit: The module or its config.
        in_channels: Channels of the image of the holder; None for those of the ViT.
        defaults: Options that the config may override.

    Raises:
        ValueError: The ViT is given other channels than the holder.
    """
    is_module = isinstance(vit, nn.Module)
    own = vit.in_channels if is_module else vit.get('in_channels', in_channels)
    if in_channels not in (None, own):
        raise ValueError(
            f'in_channels={in_channels} does not fit a ViT with in_channels={own}: give one of them, or both the same'
        )
    if is_module:
        return vit
    options = {name: value for name, value in {**defaults, **vit}.items() if name != 'out_indices'}
    if own is not None:
        options['in_channels'] = own
    return MODELS.build({'type': 'mmvitdense.PlainViT', **options})
