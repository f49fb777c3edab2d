"""The operators as torch sees them: schemas, shapes for tracing, autograd, and what runs where nothing is compiled.

The compiled libraries add their kernels to these definitions when they are loaded. They exist from the import of
`mmvitdense.ops` on, so that compiled graphs and exported programs name the same operators on every machine.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import backends, reference
from .arguments import check_shapes_tensor, level_shapes

_LIBRARY = torch.library.Library('mmvitdense', 'FRAGMENT')
_INPUTS = 'Tensor value, {} spatial_shapes, Tensor sampling_locations, Tensor attention_weights'
_FUSED_INPUTS = 'Tensor value, {} spatial_shapes, Tensor reference_points, Tensor offsets, Tensor logits'
_SIGNATURES = {
    'ms_deform_attn': f'({_INPUTS}) -> Tensor',
    'ms_deform_attn_backward': f'(Tensor grad_output, {_INPUTS}) -> (Tensor, Tensor, Tensor)',
    'ms_deform_attn_fused': f'({_FUSED_INPUTS}) -> Tensor',
    'ms_deform_attn_fused_backward': f'(Tensor grad_output, {_FUSED_INPUTS}, bool reference_grad) '
    '-> (Tensor, Tensor, Tensor, Tensor)',
}
# The second of each is for graphs in which the sizes of the levels are a tensor: it is read where the graph runs.
_SHAPES = {'': 'SymInt[]', '.tensor_shapes': 'Tensor'}
for _name, _signature in _SIGNATURES.items():
    for _overload, _kind in _SHAPES.items():
        _LIBRARY.define(f'{_name}{_overload}{_signature.format(_kind)}')
# Has a kernel for the CPU alone, and is called where that is loaded.
_LIBRARY.define(
    'soft_nms(Tensor boxes, Tensor scores, float iou_threshold, float sigma, float min_score, int method, int offset) '
    '-> (Tensor, Tensor)'
)
# As that; the second says whether there is a kernel of the first for float32, or bfloat16, on this processor.
_LIBRARY.define(
    'map_attention(Tensor qkv, int heads, int height, int width, int window, Tensor? fill, Tensor? row_table, '
    'Tensor? column_table, Tensor? offsets, Tensor? of_prefix) -> Tensor'
)
_LIBRARY.define('has_map_attention(bool bfloat16) -> bool')
_LIBRARY.define('winograd_input(Tensor maps, int padding, int first, int count) -> Tensor')
_LIBRARY.define(
    'winograd_output(Tensor[] products, Tensor? bias, bool relu, int first, int count, Tensor(a!) maps) -> ()'
)
_LIBRARY.define('depthwise_tokens(Tensor tokens, int[] grids, Tensor[] weights, Tensor[] biases, int gelus) -> Tensor')
_LIBRARY.define(
    'depthwise_tokens_gradients(Tensor tokens, Tensor grad, int[] grids, int[] sides, int[] channels) -> Tensor[]'
)
_LIBRARY.define('sum_maps(Tensor[] maps, Tensor? small, Tensor? gain, Tensor? shift) -> Tensor')

OPS = torch.ops.mmvitdense


def _pairs(flat: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(flat[::2], flat[1::2]))


def _fallback(name: str, shapes_at: int) -> None:
    """Where no compiled kernel of the device is loaded yet: load it, or compute by the reference."""

    def run(*args: Any) -> Any:
        if backends.use_compiled(args[0].device):
            return getattr(OPS, name).default(*args)
        args = list(args)
        args[shapes_at] = _pairs(args[shapes_at])
        return getattr(reference, name)(*args)

    def read_shapes_and_run(*args: Any) -> Any:
        args = list(args)
        args[shapes_at] = [size for shape in level_shapes(args[shapes_at]) for size in shape]
        return getattr(OPS, name).default(*args)

    _LIBRARY.impl(name, run, 'CompositeExplicitAutograd')
    _LIBRARY.impl(f'{name}.tensor_shapes', read_shapes_and_run, 'CompositeExplicitAutograd')


_fallback('ms_deform_attn', 1)
_fallback('ms_deform_attn_backward', 2)
_fallback('ms_deform_attn_fused', 1)
_fallback('ms_deform_attn_fused_backward', 2)


def _fake(name: str) -> Callable:
    def register(function: Callable) -> None:
        shapes_at = 2 if name.endswith('_backward') else 1

        def with_tensor(*args: Any) -> Any:
            check_shapes_tensor(args[shapes_at])
            return function(*args)

        torch.library.register_fake(f'mmvitdense::{name}', function, lib=_LIBRARY)
        torch.library.register_fake(f'mmvitdense::{name}.tensor_shapes', with_tensor, lib=_LIBRARY)

    return register


def _empty(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


@_fake('ms_deform_attn')
def _(value, spatial_shapes, sampling_locations, attention_weights):
    return value.new_empty(value.size(0), sampling_locations.size(1), value.size(2) * value.size(3))


@_fake('ms_deform_attn_backward')
def _(grad_output, value, spatial_shapes, sampling_locations, attention_weights):
    return _empty(value), _empty(sampling_locations), _empty(attention_weights)


@_fake('ms_deform_attn_fused')
def _(value, spatial_shapes, reference_points, offsets, logits):
    return value.new_empty(value.size(0), offsets.size(1), value.size(2) * value.size(3))


@_fake('ms_deform_attn_fused_backward')
def _(grad_output, value, spatial_shapes, reference_points, offsets, logits, reference_grad):
    grad_reference = _empty(reference_points) if reference_grad else reference_points.new_empty(0)
    return _empty(value), grad_reference, _empty(offsets), _empty(logits)


def _save(ctx: Any, inputs: tuple, output: Any) -> None:
    ctx.save_for_backward(*(item for item in inputs if isinstance(item, Tensor)))
    ctx.spatial_shapes = None if isinstance(inputs[1], Tensor) else inputs[1]


def _saved(ctx: Any, name: str) -> tuple[Callable, tuple]:
    """The operator `name` for the sizes of the levels as they were given, and the inputs of the forward pass."""
    operator, (value, *rest) = getattr(OPS, name), ctx.saved_tensors
    if ctx.spatial_shapes is None:
        return operator.tensor_shapes, (value, *rest)
    return operator.default, (value, ctx.spatial_shapes, *rest)


def _backward(ctx: Any, grad_output: Tensor) -> tuple:
    operator, inputs = _saved(ctx, 'ms_deform_attn_backward')
    gradients = operator(grad_output, *inputs)
    return gradients[0], None, gradients[1], gradients[2]


def _fused_backward(ctx: Any, grad_output: Tensor) -> tuple:
    operator, inputs = _saved(ctx, 'ms_deform_attn_fused_backward')
    wanted = ctx.needs_input_grad[2]
    gradients = operator(grad_output, *inputs, wanted)
    return gradients[0], None, gradients[1] if wanted else None, gradients[2], gradients[3]


def _twice(ctx: Any, *grads: Any) -> None:
    raise NotImplementedError(
        'the gradient of deformable attention is not differentiable itself; for second derivatives call '
        "mmvitdense.ops.set_backend('reference')"
    )


for _overload in _SHAPES:
    _named = 'mmvitdense::ms_deform_attn{}' + _overload
    torch.library.register_autograd(_named.format(''), _backward, setup_context=_save, lib=_LIBRARY)
    torch.library.register_autograd(_named.format('_fused'), _fused_backward, setup_context=_save, lib=_LIBRARY)
    for _name in ('_backward', '_fused_backward'):
        torch.library.register_autograd(_named.format(_name), _twice, lib=_LIBRARY)
