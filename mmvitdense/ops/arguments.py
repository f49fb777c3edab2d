"""What the deformable ops accept: checks that name the argument which does not fit."""

from collections.abc import Sequence

import torch
from torch import Tensor

SpatialShapes = Sequence[tuple[int, int]] | Tensor
"""(H, W) of each level, largest first or in any other order, as ints or as an L x 2 integer tensor."""


def check_ms_deform_attn(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> list[tuple[int, int]]:
    """Raise a ValueError that names the argument which does not fit; return the shapes of the levels as ints."""
    tensors = {'value': value, 'sampling_locations': sampling_locations, 'attention_weights': attention_weights}
    return _check(tensors, spatial_shapes)


def check_ms_deform_attn_fused(
    value: Tensor, spatial_shapes: SpatialShapes, reference_points: Tensor, offsets: Tensor, logits: Tensor
) -> list[tuple[int, int]]:
    """As `check_ms_deform_attn`, for the arguments of the fused op."""
    shapes = _check({'value': value, 'offsets': offsets, 'logits': logits}, spatial_shapes)
    _check_tensor('reference_points', reference_points, 4, value)
    batch, queries, levels, size = reference_points.shape
    fits = batch in (1, value.size(0)) and queries == offsets.size(1) and levels in (1, len(shapes)) and size in (2, 4)
    if not fits:
        raise ValueError(
            f'reference_points has shape {tuple(reference_points.shape)}; expected ({value.size(0)} or 1, '
            f'{offsets.size(1)}, {len(shapes)} or 1, 2 or 4), that is (batch of value, queries of offsets, levels of '
            'spatial_shapes, point or box)'
        )
    return shapes


def _check_tensor(name: str, tensor: Tensor, rank: int, value: Tensor) -> None:
    if tensor.dim() != rank:
        raise ValueError(f'{name} has {tensor.dim()} dimensions, shape {tuple(tensor.shape)}; expected {rank}')
    if not tensor.is_floating_point():
        raise ValueError(f'{name} is {tensor.dtype}; expected a floating-point type')
    if tensor.device != value.device:
        raise ValueError(f'{name} is on {tensor.device} and value on {value.device}; move them to one device')


def _check(tensors: dict[str, Tensor], spatial_shapes: SpatialShapes) -> list[tuple[int, int]]:
    (_, value), (points_name, points), (weights_name, weights) = tensors.items()
    for (name, tensor), rank in zip(tensors.items(), (4, 6, 5)):
        _check_tensor(name, tensor, rank, value)
    shapes = level_shapes(spatial_shapes)
    expected = (value.size(0), points.size(1), value.size(2), len(shapes), points.size(4))
    if tuple(points.shape) != (*expected, 2):
        raise ValueError(
            f'{points_name} has shape {tuple(points.shape)}; expected {(*expected, 2)}, that is '
            '(batch and heads of value, queries, levels of spatial_shapes, points, (x, y))'
        )
    if tuple(weights.shape) != expected:
        raise ValueError(
            f'{weights_name} has shape {tuple(weights.shape)}; expected {expected}, that of '
            f'{points_name} without its last dimension'
        )
    if sum(h * w for h, w in shapes) != value.size(1):
        raise ValueError(
            f'spatial_shapes {shapes} hold {sum(h * w for h, w in shapes)} positions, but value has {value.size(1)} '
            '(its dimension 1)'
        )
    return shapes


def level_shapes(spatial_shapes: SpatialShapes) -> list[tuple[int, int]]:
    """The shapes of the levels as ints. Reads a tensor once, whatever the number of layers that it is given to."""
    if isinstance(spatial_shapes, Tensor):
        check_shapes_tensor(spatial_shapes)
        if spatial_shapes.is_meta:
            raise ValueError('spatial_shapes is on meta, where it has no numbers; give ints')
        spatial_shapes = _read(spatial_shapes)
    shapes = [tuple(shape) for shape in spatial_shapes]
    if any(isinstance(size, float) for shape in shapes for size in shape):
        raise ValueError(f'spatial_shapes is {shapes}; expected integers')
    if any(len(shape) != 2 or min(shape) < 0 for shape in shapes):
        raise ValueError(f'spatial_shapes is {shapes}; expected one (H, W), not negative, per level')
    return shapes


def check_shapes_tensor(shapes: Tensor) -> None:
    """What can be told of it without its numbers."""
    if shapes.dtype not in _INTEGERS or shapes.dim() != 2 or shapes.size(1) != 2:
        raise ValueError(
            f'spatial_shapes is a {shapes.dtype} tensor of shape {tuple(shapes.shape)}; expected integers, one row '
            '(H, W) per level'
        )


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)
_KEPT = '_mmvitdense_level_shapes'


def _read(shapes: Tensor) -> list[list[int]]:
    """The numbers of a tensor, which keeps them until it is written to: each reading waits for the GPU."""
    if shapes.is_inference():  # does not count what is written to it
        return shapes.tolist()
    version, numbers = getattr(shapes, _KEPT, (None, None))
    if version != shapes._version:
        version, numbers = shapes._version, shapes.tolist()
        setattr(shapes, _KEPT, (version, numbers))
    return numbers


def accumulation_type(*tensors: Tensor) -> torch.dtype:
    """float64 where a tensor is float64, else float32."""
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
