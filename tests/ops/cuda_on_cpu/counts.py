"""What the CUDA kernels do to memory at the sizes of tools/benchmark_ops.py, counted on their emulation: for each
query, bytes and 32-byte sectors of loads and stores, atomic additions, shuffles and the like of a warp.

Sectors are what a GPU moves between its first cache and the second: each warp instruction touches each sector once.
'touched' counts each sector once a kernel: what memory must deliver at least. What operators of torch
do in between (zeros, sort) is not counted. Maps are cut to a part of their height and width with `--part`, so that a
run takes seconds; the smaller they are, the more samples lie outside.
"""

import argparse
import ctypes
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / 'tools')]

import torch  # noqa: E402
from benchmarks.deformable import SIZES, TYPES, Size, calls, make_inputs  # noqa: E402

from cuda_on_cpu import library  # noqa: E402

COLUMNS = ('load', 'store', 'atomic', 'shared_load', 'shared_store', 'shared_atomic')


def smaller(size: Size, part: int) -> Size:
    """The call on maps of a part of the height and width, with as many queries a pixel."""
    queries = size.queries // part**2 if isinstance(size.queries, int) else _cut(size.queries, part)
    return size._replace(levels=_cut(size.levels, part), queries=queries)


def _cut(shapes: list[tuple[int, int]], part: int) -> list[tuple[int, int]]:
    return [tuple(max(1, round(side / part)) for side in shape) for shape in shapes]


def count(emulated: object, op: str, size: Size, dtype: torch.dtype) -> list[dict]:
    """The launches of one forward and backward pass."""
    inputs = make_inputs(size, 'cpu', dtype)
    tensors, ours, _ = calls(op, inputs, None)
    launches = emulated.library.cuda_on_cpu_counts
    launches.restype = ctypes.c_char_p
    emulated.library.cuda_on_cpu_watch(True, False)
    with library.used(emulated, 'forward'):
        launches()
        output = ours(*tensors)
        torch.autograd.grad(output, tensors, torch.ones_like(output))
        return json.loads(launches())


def kernel_names(path: Path) -> dict[int, str]:
    """Names of the functions of a library by their place in it."""
    listing = subprocess.run(['nm', '-C', '--defined-only', str(path)], capture_output=True, text=True, check=True)
    lines = (line.split(maxsplit=2) for line in listing.stdout.splitlines())
    scopes = re.compile(r'^void |\w+::|\(anonymous namespace\)::')
    return {int(place, 16): scopes.sub('', name).partition('(Arguments')[0] for place, _, name in lines}


def row(launch: dict, queries: int) -> str:
    cells = []
    for name in COLUMNS:
        each = {key: number / queries for key, number in launch[name].items()}
        if not each['instructions']:
            continue
        if name.startswith('shared'):
            cells.append(f'{name} {each["bytes"]:.0f} B in {each["sectors"]:.1f} turns of the banks')
        else:
            touched = f'{32 * each["sectors"]:.0f} B in sectors, {32 * each["touched"]:.0f} B touched'
            numbers = f', {each["numbers"]:.0f} numbers' if name == 'atomic' else ''
            cells.append(f'{name} {each["bytes"]:.0f} B, {touched}{numbers}, {each["instructions"]:.1f} instructions')
    return '; '.join([*cells, f'meetings {launch["meetings"] / queries:.1f}'])


def main() -> None:
    """Parse the command line and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', nargs='+', choices=[*SIZES], default=['A'], metavar='A..H')
    parser.add_argument('--dtype', nargs='+', choices=[*TYPES], default=['float32', 'bfloat16'])
    parser.add_argument('--op', nargs='+', choices=['classic', 'fused'], default=['fused'])
    parser.add_argument('--architecture', choices=['sm_80', 'sm_90'], default='sm_90')
    parser.add_argument('--part', type=int, default=4, help='of height and width (default: a quarter)')
    parser.add_argument('--json', type=Path, help='write the figures to this file too')
    arguments = parser.parse_args()
    flavour = f'counted_{arguments.architecture}'
    emulated = library.load(flavour)
    names = kernel_names(library.build(library.FLAVOURS[flavour]))
    found = []
    for name in arguments.sizes:
        size = smaller(SIZES[name], arguments.part)
        queries = size.queries if isinstance(size.queries, int) else sum(h * w for h, w in size.queries)
        for dtype in arguments.dtype:
            for op in arguments.op:
                seen = Counter()
                print(f'{name}, {dtype}, {op}, {queries} queries, {arguments.architecture}, for each query:')
                for launch in count(emulated, op, size, TYPES[dtype]):
                    kernel = names.get(launch.pop('place'), 'unknown')
                    seen[kernel] += 1
                    print(f'  {kernel}: {row(launch, queries)}', flush=True)
                    found.append(
                        {'size': name, 'dtype': dtype, 'op': op, 'queries': queries, 'kernel': kernel, **launch}
                    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
