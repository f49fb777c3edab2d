"""Calls of the operators on kernels compiled with the address and the undefined behaviour sanitizer, which end this
process where they find anything. Started by the tests with the sanitizer's library loaded first; prints the number of
calls, and whether a bound that is one too high is found."""

import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from problems import make, to

from cuda_on_cpu import library
from mmvitdense import ops


def call(kind: str, dtype: torch.dtype, deterministic: bool, **sizes) -> None:
    """Forward and backward, without autograd, which imports more than the calls take."""
    value, shapes, *rest = to(getattr(make('cpu', torch.float32, **sizes), kind), dtype)
    torch.use_deterministic_algorithms(deterministic)
    name = {'classic': 'ms_deform_attn', 'fused': 'ms_deform_attn_fused'}[kind]
    output = getattr(ops, name)(value, shapes, *rest)
    flat = [size for shape in shapes for size in shape]
    backward = getattr(torch.ops.mmvitdense, f'{name}_backward')
    backward(torch.randn_like(output), value, flat, *rest, *((True,) if kind == 'fused' else ()))


def main(path: str) -> None:
    emulated = library.load_library(Path(path), 'cuda_on_cpu_sanitized')
    shapes = [(4, 5), (3, 2)]
    problems = [
        {'channels': 5, 'queries': 26, 'shapes': shapes, 'batch': 1},
        {'channels': 32, 'queries': 6, 'shapes': shapes, 'box': True, 'shared': True},
        {'channels': 264, 'queries': 3, 'shapes': shapes, 'batch': 1},
        {'channels': 8, 'queries': 3, 'points': 70, 'batch': 1, 'heads': 1},
    ]
    types, kinds, orders = (torch.float32, torch.bfloat16), ('classic', 'fused'), (False, True)
    with library.used(emulated):
        calls = list(itertools.product(problems, types, kinds))
        for number, (problem, dtype, kind) in enumerate(calls):
            call(kind, dtype, orders[number // 2 % 2], **problem)
        process = os.fork()
        if process == 0:
            emulated.library.cuda_on_cpu_set_fault(2)
            call('classic', torch.float32, False, channels=5, queries=26, shapes=[(4, 5), (3, 2)], batch=1)
            os._exit(0)
        _, status = os.waitpid(process, 0)
    print(f'{len(calls)} calls; a fault is found: {os.waitstatus_to_exitcode(status) != 0}')


if __name__ == '__main__':
    main(sys.argv[1])
