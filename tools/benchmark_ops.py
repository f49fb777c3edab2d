"""Time multi-scale deformable attention against other implementations, side by side in one run.

Sizes A to H are calls of published models on one image (`--sizes` to choose). The points lie around a raster of
queries, 2 pixels from it on average. 'classic' takes locations and weights, 'fused' raw offsets and logits; its
baselines do the softmax and the locations before. In 16 bits, baselines that have no right kernel for it compute in
float32, with the casts around it in their time. Each ratio is of two medians of calls that took turns.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from benchmarks.deformable import SIZES, TYPES, Baseline, Call, baselines, calls, inputs_of
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


def compare(size: str, dtype: str, op: str, direction: str, name: str, baseline: Baseline, arguments) -> dict[str, Any]:
    """One row: both implementations called in turn for `--repeats` rounds, and `--round-seconds` at least."""
    inputs = inputs_of(size, arguments.device, TYPES[dtype])
    tensors, ours, theirs = calls(op, inputs, baseline)
    if direction == 'forward' and name == 'mmcv-pytorch':
        check_agreement(size, dtype, op, ours, theirs, tensors)
    runs = [_runner(function, tensors, direction) for function in (ours, theirs)]
    peaks, first_ms = zip(*(warm_up(run, arguments.device) for run in runs))
    counts = [math.ceil(SHORTEST_BLOCK_MS / ms) for ms in first_ms]
    times: list[tuple[float, ...]] = []
    start = time.perf_counter()
    while len(times) < arguments.repeats or time.perf_counter() - start < arguments.round_seconds:
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
    parser.add_argument(
        '--round-seconds',
        type=float,
        default=SHORTEST_SECONDS,
        metavar='S',
        help=f'how long the rounds of a row take at least (default: {SHORTEST_SECONDS:g})',
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
