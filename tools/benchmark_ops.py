"""Time multi-scale deformable attention against other implementations, side by side in one run.

Sizes A to H are calls of published models on one image (`--sizes` to choose). The points lie around a raster of
queries, 2 pixels from it on average. 'classic' takes locations and weights, 'fused' raw offsets and logits; its
baselines do the softmax and the locations before. In 16 bits, baselines that have no right kernel for it compute in
float32, with the casts around it in their time. Each ratio is of two medians of calls that took turns.
"""

from __future__ import annotations

import argparse
import ast
import ctypes
import functools
import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense import ops
from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.apis.files import write_json

CPU_REPEATS, CUDA_REPEATS = 3, 20
SHORTEST_SECONDS = 1.0
"""Of alternating calls for one row, whatever the number of repeats."""
SHORTEST_BLOCK_MS = 10
"""Calls shorter than this are timed several in a row, so that the clock and the launch of the first do not count."""
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


Baseline = Callable[[Inputs, Tensor, Tensor, Tensor], Tensor]


def baselines(device: str) -> dict[str, Baseline]:
    """Name and classic function (inputs, value, locations, weights) of every implementation found here."""
    found = {'mmcv-pytorch': mmcv_pytorch()}
    if device == 'cuda':
        from mmvitdense.compat.stand_in import compiled_extension

        if compiled_extension() is not None:
            found['mmcv-cuda'] = mmcv_cuda()
        if importlib.util.find_spec('deformops') is not None:
            found['deformops'] = deformops
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
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    def run(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        dtype = torch.float32 if value.dtype == torch.bfloat16 else value.dtype
        arguments = (value.to(dtype), inputs.shapes, inputs.starts, locations, weights, 64)
        return MultiScaleDeformableAttnFunction.apply(*arguments).to(value.dtype)

    return run


def deformops(inputs: Inputs, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    from deformops.registry import msda

    return msda(value, inputs.shapes, inputs.starts, locations, weights.to(value.dtype))


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


def compare(size: str, dtype: str, op: str, direction: str, name: str, baseline: Baseline, arguments) -> dict[str, Any]:
    """One row: both implementations called in turn for `--repeats` rounds, and SHORTEST_SECONDS at least."""
    inputs = make_inputs(SIZES[size], arguments.device, TYPES[dtype])
    tensors, ours, theirs = calls(op, inputs, baseline)
    if direction == 'forward' and name == 'mmcv-pytorch':
        check_agreement(size, dtype, op, ours, theirs, tensors)
    runs = [_runner(function, tensors, direction) for function in (ours, theirs)]
    peaks, first_ms = zip(*(warm_up(run, arguments.device) for run in runs))
    counts = [math.ceil(SHORTEST_BLOCK_MS / ms) for ms in first_ms]
    times: list[tuple[float, ...]] = []
    start = time.perf_counter()
    while len(times) < arguments.repeats or time.perf_counter() - start < SHORTEST_SECONDS:
        times.append(tuple(time_ms(run, count, arguments.device) for run, count in zip(runs, counts)))
    ours_ms, baseline_ms = (statistics.median(column) for column in zip(*times))
    return {
        'size': size,
        'dtype': dtype,
        'pass': direction,
        'op': op,
        'ours_ms': ours_ms,
        'baseline': name,
        'baseline_ms': baseline_ms,
        'ratio': baseline_ms / ours_ms,
        'peak_mb': peaks[0],
        'baseline_peak_mb': peaks[1],
    }


def _runner(function: Call, tensors: tuple[Tensor, ...], direction: str) -> Callable[[], Any]:
    if direction == 'forward':
        return torch.no_grad()(lambda: function(*tensors))
    with torch.no_grad():
        gradient = torch.randn_like(function(*tensors))
    return lambda: torch.autograd.grad(function(*tensors), tensors, gradient)


@torch.no_grad()
def check_agreement(size: str, dtype: str, op: str, ours: Call, theirs: Call, tensors: tuple[Tensor, ...]) -> None:
    """The time of a wrong result means nothing."""
    expected = theirs(*tensors).double()
    error = ((ours(*tensors).double() - expected).abs().max() / expected.abs().max()).item()
    if not error < (1e-4 if TYPES[dtype].itemsize >= 4 else 2e-2):
        raise RuntimeError(
            f'size {size}, {dtype}, {op}: ours is off by {error:.1e} of the largest value of mmcv-pytorch'
        )


def time_ms(run: Callable[[], Any], count: int, device: str) -> float:
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        run()
    _synchronize(device)
    return (time.perf_counter() - start) * 1000 / count


def _synchronize(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def warm_up(run: Callable[[], Any], device: str) -> tuple[float | None, float]:
    """Call twice, the first time because it may compile and load. Of the second call: the memory in use at its peak
    beyond that before it, in MB (on a CPU, None where the system is not Linux), and its time in milliseconds."""
    run()
    if device == 'cuda':
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        ms = time_ms(run, 1, device)
        return (torch.cuda.max_memory_allocated() - before) / 1e6, ms
    try:
        # Memory that earlier calls have freed must not hide what this one takes.
        ctypes.CDLL(None).malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')
        before = _status_mb('VmRSS')
    except (OSError, AttributeError):
        return None, time_ms(run, 1, device)
    ms = time_ms(run, 1, device)
    return max(_status_mb('VmHWM') - before, 0.0), ms


def _status_mb(key: str) -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(key))


COLUMNS = {
    'size': 4,
    'dtype': 8,
    'op': 7,
    'pass': 16,
    'ours_ms': 9,
    'baseline': 12,
    'baseline_ms': 11,
    'ratio': 7,
    'peak_mb': 8,
    'baseline_peak_mb': 16,
}


def format_row(cells: Iterable[Any]) -> str:
    texts = ('-' if cell is None else f'{cell:.2f}' if isinstance(cell, float) else str(cell) for cell in cells)
    aligned = (
        f'{text:<{width}}' if name in ('size', 'dtype', 'op', 'pass', 'baseline') else f'{text:>{width}}'
        for text, (name, width) in zip(texts, COLUMNS.items())
    )
    return '| ' + ' | '.join(aligned) + ' |'


def environment(device: str) -> str:
    """Hardware and versions, to stand above a table."""
    import mmcv

    name = torch.cuda.get_device_name() if device == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    return f'{name}; torch {torch.__version__}; mmcv {mmcv.__version__}; our op: {ops.backend(device)}'


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--sizes', nargs='+', choices=[*SIZES], default=[*SIZES], metavar='A..H')
    parser.add_argument(
        '--dtype', nargs='+', choices=[*TYPES], help='default: float32 on a CPU, float32 and bfloat16 on a GPU'
    )
    parser.add_argument('--threads', type=int, help="threads on a CPU (default: torch's choice)")
    parser.add_argument(
        '--repeats', type=int, help=f'rounds at least (default: {CPU_REPEATS} on a CPU, {CUDA_REPEATS} on a GPU)'
    )
    parser.add_argument('--json', metavar='FILE', help='write the rows to this file too')
    add_debug(parser)
    arguments = parser.parse_args()
    arguments.dtype = arguments.dtype or (['float32', 'bfloat16'] if arguments.device == 'cuda' else ['float32'])
    if arguments.repeats is None:
        arguments.repeats = CUDA_REPEATS if arguments.device == 'cuda' else CPU_REPEATS
    return run_tool(lambda: _measure(arguments), arguments.debug)


def _measure(arguments: argparse.Namespace) -> None:
    if arguments.device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device cuda was asked for, but torch sees no GPU.')
    if arguments.repeats < 1 or (arguments.threads is not None and arguments.threads < 1):
        raise InputError('--repeats and --threads must be at least 1.')
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    found = baselines(arguments.device)
    rows = []
    for size in arguments.sizes:
        print(f'{size}: {SIZES[size].model}', flush=True)
    for number, (size, dtype, op, direction, name) in enumerate(
        (size, dtype, op, direction, name)
        for size in arguments.sizes
        for dtype in arguments.dtype
        for op in ('classic', 'fused')
        for direction in ('forward', 'forward+backward')
        for name in found
    ):
        row = compare(size, dtype, op, direction, name, found[name], arguments)
        if number == 0:
            # After the first call, when the implementation of our op has been chosen.
            print(environment(arguments.device))
            print(format_row(COLUMNS))
            print(format_row('-' * width for width in COLUMNS.values()))
        print(format_row(row[name] for name in COLUMNS), flush=True)
        rows.append(row)
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == '__main__':
    sys.exit(main())
