"""What the device is, the bandwidth of its memory, and its rates of matrix products."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .rows import MEASURED, Report


def run(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """One row a figure."""
    side, megabytes = (8192, 4096) if device == 'cuda' else (256, 16)
    with report.guard('device') as row:
        row.update(status=MEASURED, detail=describe(device))
    with report.guard('copy') as row:
        source = torch.rand(megabytes * 2**18, device=device)
        target = torch.empty_like(source)
        seconds = median_seconds(functools.partial(target.copy_, source), device)
        row.update(status=MEASURED, gigabytes_per_second=2 * source.nbytes / seconds / 1e9)
        row['detail'] = f'{row["gigabytes_per_second"]:.0f} GB/s read and written'
        del source, target
    for name, dtype, tf32 in (
        ('bfloat16', torch.bfloat16, False),
        ('float16', torch.float16, False),
        ('tf32', torch.float32, True),
        ('float32', torch.float32, False),
    ):
        with report.guard(f'product {name}') as row:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            seconds = median_seconds(lambda one=one, other=other: one @ other, device)
            row.update(status=MEASURED, teraflops=2 * side**3 / seconds / 1e12)
            row['detail'] = f'{row["teraflops"]:.1f} TFLOP/s, {side} x {side} x {side}'
    torch.backends.cuda.matmul.allow_tf32 = False


def describe(device: str) -> str:
    """Names and releases."""
    if device == 'cpu':
        return f'CPU, {torch.get_num_threads()} threads; torch {torch.__version__}'
    known = torch.cuda.get_device_properties(0)
    return (
        f'{torch.cuda.device_count()} x {known.name}, {known.total_memory / 2**30:.0f} GiB, '
        f'{known.multi_processor_count} multiprocessors, capability {known.major}.{known.minor}; '
        f'torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}'
    )


def median_seconds(call: Callable[[], object], device: str, repeats: int = 10) -> float:
    """Seconds of one call, by the device's own clock on a GPU."""
    for _ in range(3):
        call()
    if device == 'cpu':
        import time

        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return sorted(times)[repeats // 2]
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times)[repeats // 2]
