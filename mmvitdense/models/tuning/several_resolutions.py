"""Training at several resolutions of an image in one step (ResFormer, arXiv 2212.00776, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def scale_consistency(maps: Tensor, larger: Tensor) -> Tensor:
    """How far a map is from that of the same image at a higher resolution.

    The smooth L1 loss of ResFormer's distillation between a smaller and a larger view (`losses.py`), whose target is
    normed over the channels without gain and passes no gradient. There the views meet in the class token; here in the
    map, the larger one averaged over the cells of the smaller. That is ours and was never published.

    Args:
        maps: B x C x h x w.
        larger: B x C x H x W.
    """
    target = F.adaptive_avg_pool2d(larger.detach().float(), maps.shape[-2:]).permute(0, 2, 3, 1)
    target = F.layer_norm(target, target.shape[-1:], eps=1e-6)
    return F.smooth_l1_loss(maps.float().permute(0, 2, 3, 1), target)


class TrainsAtSeveralResolutions:
    """Losses of a detector or segmentor at several resolutions of each image, in one step.

    It stands before a model of mmdet or mmseg among the bases of a class with `resized`. Parameters, their names and
    predictions are those of that model. Each loss is divided by the number of resolutions and reported under 'x0.5.'
    and its name. A step costs the sum of the resolutions; under DDP it needs nothing special.

    Args:
        resolutions: Factors of the sides of the batch, the largest first. Sides are rounded to whole multiples of
            `size_divisor`.
        consistency: Weight of `scale_consistency` between the last map of the backbone at each resolution and at the
            one before; 0 leaves it out.
        size_divisor: See `resolutions`; by default the patch size of the backbone.
    """

    def __init__(
        self,
        *args: Any,
        resolutions: Sequence[float] = (1.0, 0.75, 0.5),
        consistency: float = 1.0,
        size_divisor: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        numbers = isinstance(resolutions, Sequence) and all(
            isinstance(s, Real) and 0 < s < float('inf') for s in resolutions
        )
        if not numbers or len(resolutions) < 1 or sorted(resolutions, reverse=True) != list(resolutions):
            raise ValueError(
                f'resolutions must be factors of the size, the largest first, such as (1, 0.5), got {resolutions!r}'
            )
        if not isinstance(consistency, Real) or not 0 <= consistency < float('inf'):
            raise ValueError(f'consistency must be a weight of at least 0, got {consistency!r}')
        self.resolutions, self.consistency = tuple(resolutions), consistency
        self.size_divisor = size_divisor or getattr(self.backbone, 'patch_size', 1)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Any]:
        """Losses of a batch, B x C x H x W, and its samples: {name: loss of a resolution}."""
        found, larger = {}, None
        for scale in self.resolutions:
            size = tuple(self._rounded(side * scale) for side in inputs.shape[-2:])
            images, samples = inputs, data_samples
            if size != tuple(inputs.shape[-2:]):
                images = F.interpolate(inputs, size, mode='bilinear', align_corners=False, antialias=True)
                samples = self.resized(data_samples, tuple(inputs.shape[-2:]), size)
            losses, maps = self._loss_and_map(images, samples)
            if self.consistency and larger is not None:
                losses['loss_consistency'] = self.consistency * scale_consistency(maps, larger)
            found |= {f'x{scale:g}.{name}': self._share(name, value) for name, value in losses.items()}
            larger = maps
        return found

    def resized(self, data_samples: list, size: tuple[int, int], new: tuple[int, int]) -> list:
        """The samples of a batch of (height, width) `size` for one of the size `new`; those given stay."""
        raise NotImplementedError

    def _rounded(self, side: float) -> int:
        return max(1, int(side / self.size_divisor + 0.5)) * self.size_divisor

    def _loss_and_map(self, images: Tensor, samples: list) -> tuple[dict[str, Any], Tensor]:
        kept = []
        handle = self.backbone.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            losses = dict(super().loss(images, samples))
        finally:
            handle.remove()
        maps = kept[-1][-1]
        return losses, maps[0] if isinstance(maps, (tuple, list)) else maps

    def _share(self, name: str, value: Any) -> Any:
        if 'loss' not in name:
            return value
        if isinstance(value, (tuple, list)):
            return [part / len(self.resolutions) for part in value]
        return value / len(self.resolutions)
