"""What models that hold a ViT share."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmvitdense.registry import MODELS

from .vit import ViT


def build_held_vit(vit: dict[str, Any] | ViT, in_channels: int | None = None, **defaults: Any) -> ViT:
    """The ViT of a holder: the module that it is given, as it is, or what is built from a config.

    A config without type is that of a `PlainViT`; one that has a ViT inside, such as that of `LoRA`, gets the
    options of the holder there. Its `out_indices` are left out: they are of no account to those
    who run the blocks themselves, and blocks after the last of them would be frozen.

    Args:
        vit: The module or its config.
        in_channels: Channels of the image of the holder; None for those of the ViT.
        defaults: Options that the config may override.

    Raises:
        ValueError: The ViT is given other channels than the holder.
    """
    is_module = isinstance(vit, nn.Module)
    innermost = vit
    while not isinstance(innermost, nn.Module) and 'vit' in innermost:
        innermost = innermost['vit']
    own = innermost.in_channels if isinstance(innermost, nn.Module) else innermost.get('in_channels', in_channels)
    if in_channels not in (None, own):
        raise ValueError(
            f'in_channels={in_channels} does not fit a ViT with in_channels={own}: give one of them, or both the same'
        )
    return vit if is_module else MODELS.build(_completed(vit, own, defaults))


def _completed(vit: dict[str, Any] | ViT, in_channels: int | None, defaults: dict[str, Any]) -> dict[str, Any] | ViT:
    """The config with what the holder knows, which is for the ViT inside where another ViT is made of it."""
    if isinstance(vit, nn.Module):
        return vit
    if 'vit' in vit:
        return {**vit, 'vit': _completed(vit['vit'], in_channels, defaults)}
    options = {name: value for name, value in {**defaults, **vit}.items() if name != 'out_indices'}
    if in_channels is not None:
        options['in_channels'] = in_channels
    return {'type': 'mmvitdense.PlainViT', **options}
