"""Random arguments of the deformable ops."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SHAPES = [(4, 5), (1, 7), (3, 2)]


@dataclass
class Problem:
    """Arguments of both ops for the same samples: locations and weights follow from references, offsets, logits."""

    value: Tensor
    shapes: list[tuple[int, int]]
    reference: Tensor
    offsets: Tensor
    logits: Tensor

    @property
    def fused(self) -> tuple:
        return self.value, self.shapes, self.reference, self.offsets, self.logits

    @property
    def classic(self) -> tuple:
        reference = self.reference[:, :, None, :, None]
        if reference.size(-1) == 2:
            sizes = torch.tensor([(w, h) for h, w in self.shapes], dtype=self.offsets.dtype, device=self.offsets.device)
            locations = reference + self.offsets / sizes[:, None]
        else:
            locations = reference[..., :2] + self.offsets / self.offsets.size(4) * reference[..., 2:] * 0.5
        return self.value, self.shapes, locations.contiguous(), self.logits.flatten(-2).softmax(-1).view_as(self.logits)


def make(
    device: str = 'cpu',
    dtype: torch.dtype = torch.float64,
    shapes: Sequence[tuple[int, int]] = tuple(SHAPES),
    batch: int = 2,
    queries: int = 3,
    heads: int = 2,
    channels: int = 4,
    points: int = 3,
    box: bool = False,
    shared: bool = False,
) -> Problem:
    """Samples up to two pixels outside their map, none nearer than 0.02 pixels to a pixel centre's row or column, where
    the gradient jumps. `box`: references of four numbers; `shared`: one reference for all images and levels, so that
    samples lie anywhere."""
    levels = len(shapes)
    sizes = torch.tensor([(w, h) for h, w in shapes], dtype=torch.float64).view(1, 1, 1, levels, 1, 2)
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, channels)
    logits = torch.randn(batch, queries, heads, levels, points)
    reference = torch.rand(1 if shared else batch, queries, 1 if shared else levels, 4 if box else 2).double()
    if box:
        reference[..., 2:] = reference[..., 2:] * 0.5 + 0.2
    corner = (torch.rand(batch, queries, heads, levels, points, 2) * (sizes + 3)).floor() - 2
    pixels = corner + 0.02 + 0.96 * torch.rand(corner.shape)
    around = reference[:, :, None, :, None]
    if box:
        offsets = ((pixels + 0.5) / sizes - around[..., :2]) / (0.5 / points * around[..., 2:])
    else:
        offsets = pixels + 0.5 - around * sizes
    tensors = (t.to(device=device, dtype=dtype) for t in (value, reference, offsets, logits))
    value, reference, offsets, logits = tensors
    return Problem(value, list(shapes), reference, offsets, logits)


def leaves(tensors: Sequence) -> list:
    """The floating-point tensors among `tensors` as leaves of a graph, the rest as it is."""
    return [t.detach().clone().requires_grad_() if _is_differentiable(t) else t for t in tensors]


def _is_differentiable(item: object) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def run(function, arguments: Sequence, grad: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """The output of `function(*arguments)` and its gradients by all tensors, for `grad` or one drawn with a fixed
    seed."""
    inputs = leaves(arguments)
    output = function(*inputs)
    if grad is None:
        generator = torch.Generator().manual_seed(3)
        grad = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    grad = grad.to(output.device, output.dtype)
    return output.detach(), list(torch.autograd.grad(output, [t for t in inputs if _is_differentiable(t)], grad))


def to(arguments: Sequence, dtype: torch.dtype) -> list:
    return [t.to(dtype) if isinstance(t, Tensor) else t for t in arguments]
