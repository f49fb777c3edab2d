"""The contract of what makes a map of a ViT denser with the help of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from mmvitdense.models.initialized_module import InitializedModule


class MapUpsampler(InitializedModule):
    """Base of networks from an image and the map of a ViT to a denser map of the same features.

    `LiftedViT` holds one behind its ViT, and `UpsamplerPretraining` trains it.

    Attributes:
        of_vit: Options of the constructor that the ViT decides, of 'in_channels' and 'patch_size'; the module has them
            as attributes.
        weights_advice: What is said of one that is frozen as it was drawn.
    """

    of_vit: ClassVar[tuple[str, ...]] = ()
    weights_advice: ClassVar[str] = 'an init_cfg that loads its weights'

    def check_channels(self, channels: int) -> None:
        """Raise a `ValueError` where maps of so many channels cannot be made denser."""

    def denser(self, image: Tensor, maps: Tensor, doublings: Sequence[int]) -> list[Tensor]:
        """Double a map several times.

        Args:
            image: B x 3 x (patch_size*h) x (patch_size*w), normalised as for the ViT.
            maps: B x C x h x w.
            doublings: How often the sides of each wanted map are doubled, ascending and above 0.

        Returns:
            B x C x (2^n*h) x (2^n*w) for each n of `doublings`.
        """
        raise NotImplementedError
