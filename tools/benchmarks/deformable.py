"""Calls of multi-scale deformable attention: the sizes of published models, their inputs, and other implementations."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense import ops
from mmvitdense.apis.errors import InputError

TYPES = {
    'float32': torch.float32,
    'float64': torch.float64,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


class Size(NamedTuple):
    """One call. `queries` are the maps whose pixels are the queries, or their number where they lie anywhere."""

    model: str
    levels: list[tuple[int, int]]
    queries: list[tuple[int, int]] | int
    heads: int
    channels: int
    points: int


_1024 = [(128, 128), (64, 64), (32, 32)]
_896 = [(112, 112), (56, 56), (28, 28)]
_DETR = [(100, 167), (50, 84), (25, 42), (13, 21)]
SIZES = {
    'A': Size('ViT-CoMer-B, 1024 x 1024', _1024, _1024, 12, 32, 4),
    'B': Size('ViT-CoMer-S, 1024 x 1024', _1024, _1024, 6, 64, 4),
    'C': Size('ViT-Adapter-B injector, 1024 x 1024', _1024, [(64, 64)], 12, 32, 4),
    'D': Size('ViT-Adapter-B extractor, 1024 x 1024', [(64, 64)], _1024, 12, 32, 4),
    'E': Size('Mask2Former pixel decoder, 1024 x 1024', _1024, _1024, 8, 32, 4),
    'F': Size('Deformable DETR and DINO encoder, 800 x 1333', _DETR, _DETR, 8, 32, 4),
    'G': Size('DINO decoder, 800 x 1333', _DETR, 900, 8, 32, 4),
    'H': Size('ViT-CoMer-L Mask2Former head, 896 x 896', _896, _896, 32, 32, 4),
}


class Inputs(NamedTuple):
    """What one call takes: `classic` and `fused` are the differentiable arguments of the two functions."""

    levels: list[tuple[int, int]]
    shapes: Tensor
    starts: Tensor
    reference: Tensor
    classic: tuple[Tensor, Tensor, Tensor]
    fused: tuple[Tensor, Tensor, Tensor]


@functools.lru_cache(maxsize=1)
def inputs_of(size: str, device: str, dtype: torch.dtype) -> Inputs:
    """The inputs of a size by its name; those of the last call are kept."""
    return make_inputs(SIZES[size], device, dtype)


def make_inputs(size: Size, device: str, dtype: torch.dtype) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    reference = _references(size.queries, generator)
    shapes = torch.tensor(size.levels)
    areas = shapes.prod(1)
    samples = (1, reference.size(1), size.heads, len(size.levels), size.points)
    # Coordinates and softmax stay out of 16 bits.
    wide = torch.promote_types(dtype, torch.float32)
    value = torch.randn(1, int(areas.sum()), size.heads, size.channels, generator=generator).to(device, dtype)
    offsets = (2 * torch.randn(*samples, 2, generator=generator)).to(device, dtype)
    logits = torch.randn(samples, generator=generator).to(device, dtype)
    reference, shapes = reference.to(device, wide), shapes.to(device)
    locations, weights = _prologue(reference, shapes, offsets, logits)
    starts = (areas.cumsum(0) - areas).to(device)
    inputs = Inputs(size.levels, shapes, starts, reference, (value, locations, weights), (value, offsets, logits))
    for tensor in (*inputs.classic, *inputs.fused):
        tensor.requires_grad_()
    return inputs


def _references(queries: list[tuple[int, int]] | int, generator: torch.Generator) -> Tensor:
    if isinstance(queries, int):
        return torch.rand(1, queries, 1, 2, generator=generator)
    maps = []
    for h, w in queries:
        rows, columns = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing='ij')
        maps.append(torch.stack([columns, rows], dim=-1).flatten(0, 1))
    return torch.cat(maps)[None, :, None]


def _prologue(reference: Tensor, shapes: Tensor, offsets: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Locations and weights from offsets and logits, as mmcv's module makes them."""
    offsets, logits = offsets.to(reference.dtype), logits.to(reference.dtype)
    locations = reference[:, :, None, :, None] + offsets / shapes.flip(1)[:, None]
    return locations, logits.flatten(3).softmax(-1).view_as(logits)


MMCV_ALONE = 'mmcv_ms_deform_attn'
"""An extension of mmcv's files of this operator alone, with the names of `mmcv._ext`; all of mmcv takes an hour."""
Baseline = Callable[[Inputs, Tensor, Tensor, Tensor], Tensor]


def baselines(device: str) -> dict[str, Baseline]:
    """Name and classic function (inputs, value, locations, weights) of every implementation found here."""
    found = {'mmcv-pytorch': mmcv_pytorch()}
    if device == 'cuda':
        from mmvitdense.compat.stand_in import compiled_extension

        if compiled_extension() is not None or importlib.util.find_spec(MMCV_ALONE) is not None:
            found['mmcv-cuda'] = mmcv_cuda()
        if importlib.util.find_spec('deformops') is not None:
            found['deformops'] = deformops
    if importlib.util.find_spec('torch_ms_deform_attn') is not None:
        found['torch-msda'] = torch_ms_deform_attn
    return found


def mmcv_pytorch() -> Baseline:
    """mmcv's own function, from the text of its file: the one that mmcv offers may be ours, put there by compat."""
    name = 'multi_scale_deformable_attn_pytorch'
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None or not mmcv.submodule_search_locations:
        raise InputError('mmcv, the baseline, is not installed: install requirements/onedl.txt.')
    path = Path(mmcv.submodule_search_locations[0]) / 'ops' / 'multi_scale_deform_attn.py'
    module = ast.parse(path.read_text(encoding='utf-8'))
    module.body = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    namespace: dict[str, Any] = {'torch': torch, 'F': F}
    exec(compile(module, str(path), 'exec'), namespace)

    def run(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return namespace[name](value.to(locations.dtype), inputs.shapes, locations, weights).to(value.dtype)

    return run


def mmcv_cuda() -> Baseline:
    """mmcv's kernels, those compiled with mmcv or, where it has none, the extension of their files alone."""
    from mmcv.ops import multi_scale_deform_attn
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    if importlib.util.find_spec(MMCV_ALONE) is not None:
        multi_scale_deform_attn.ext_module = importlib.import_module(MMCV_ALONE)

    def run(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        dtype = torch.float32 if value.dtype == torch.bfloat16 else value.dtype
        arguments = (value.to(dtype), inputs.shapes, inputs.starts, locations, weights, 64)
        return MultiScaleDeformableAttnFunction.apply(*arguments).to(value.dtype)

    return run


def deformops(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    from deformops.registry import msda

    return msda(value, inputs.shapes, inputs.starts, locations, weights.to(value.dtype))


def torch_ms_deform_attn(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """The package torch-ms-deform-attn, which in 16 bits wants the locations in 16 bits too, too coarse for them."""
    from torch_ms_deform_attn import ms_deform_attn

    wide = (value.to(locations.dtype), inputs.shapes, inputs.starts, locations, weights)
    return ms_deform_attn(*wide).to(value.dtype)


Call = Callable[..., Tensor]


def calls(op: str, inputs: Inputs, baseline: Baseline) -> tuple[tuple[Tensor, ...], Call, Call]:
    """The differentiable arguments of `op`, our function of them and the baseline's."""
    if op == 'classic':
        ours = lambda value, *rest: ops.ms_deform_attn(value, inputs.levels, *rest)  # noqa: E731
        return inputs.classic, ours, functools.partial(baseline, inputs)

    def ours_fused(value: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        return ops.ms_deform_attn_fused(value, inputs.levels, inputs.reference, offsets, logits)

    def with_prologue(value: Tensor, offsets: Tensor, logits: Tensor) -> Tensor:
        return baseline(inputs, value, *_prologue(inputs.reference, inputs.shapes, offsets, logits))

    return inputs.fused, ours_fused, with_prologue
