"""What mask transformers predict."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class MaskPredictions(NamedTuple):
    """Classes and masks of queries, before each block with queries where it is a training, and after the last.

    Attributes:
        classes: Each B x Q x (classes + 1), logits with 'no object' last.
        masks: Each B x Q x h x w, logits over `covered` pixels.
        image_size: (height, width) of the images in pixels; None from a decoder that sees maps alone.
        covered: (height, width) of the images padded at the bottom and on the right to whole patches, or to whole
            places of a map.
        features: Of kMaX-DeepLab in training, for each of the masks: B x C x h x w, of length 1 at each place.
        semantic: Of kMaX-DeepLab in training: logits of classes at the places of a map of the backbone.
    """

    classes: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    image_size: tuple[int, int] | None
    covered: tuple[int, int]
    features: tuple[Tensor, ...] = ()
    semantic: Tensor | None = None

    def pixel_masks(self) -> Tensor:
        """The last masks, resized bilinearly, as B x Q x height x width of the images, or of what is covered where the
        size of the images is not known."""
        masks = F.interpolate(self.masks[-1], size=self.covered, mode='bilinear', align_corners=False)
        height, width = self.image_size or self.covered
        return masks[..., :height, :width]
