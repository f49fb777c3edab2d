"""Time whole models and attention against the formulation of their releases, side by side in one run.

Subjects are named by model and size, t, s, b, l or h (`--list`); patterns such as 'attention-b-*' choose several. Both
sides run on the same parameters, and their outputs (and gradients) are compared before they are timed. A ratio is the
median over rounds in which both took turns, with the smallest and the largest of a round after it. Memory is what one
call takes at its peak, on a CPU measured in a process of its own; what the forward pass of
a training step keeps for the backward pass is a part of it. `of products` is the time against that of the operations
which torch counts, at the best rate that any product of a ViT's layers reaches in the same run.

`--table FILE` measures what README and docs quote, with torch's own choice of instructions and libraries, with
`MMVITDENSE_LINEAR=torch` and with `ATEN_CPU_CAPABILITY=avx2`, and against onnxruntime and OpenVINO where they are
installed: about 30 minutes on two cores. It goes on where a run was cut off.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from typing import Any

import torch
from benchmarks.machine import machine, machine_lines
from benchmarks.measure import AGREEMENT, Case, measure
from benchmarks.products import ProductRates, product_lines, product_rates
from benchmarks.subjects import SUBJECTS
from benchmarks.table import print_table

from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.apis.files import write_json

DEFAULT = ['vitdet-b', 'attention-b-*', 'vit-comer-[sb]', 'vit-adapter-[sb]', 'mimdet-b-*']
PASSES = {'forward': False, 'training': True}
COLUMNS = (
    'subject',
    'size',
    'batch',
    'dtype',
    'pass',
    'baseline',
    'baseline ms',
    'ours ms',
    'ratio',
    'of products',
    'peak MB',
    'kept MB',
)


def chosen(patterns: list[str]) -> list[str]:
    """Names of subjects that match, in the order of the patterns."""
    names = []
    for pattern in patterns:
        found = fnmatch.filter(SUBJECTS, pattern)
        if not found:
            raise InputError(f"no subject matches '{pattern}': --list shows what there is.")
        names += [name for name in found if name not in names]
    return names


def format_row(row: dict[str, Any]) -> str:
    """One line of the table."""
    peaks, kept = ([row.get(f'baseline_{what}_mb'), row.get(f'{what}_mb')] for what in ('peak', 'kept'))
    cells = (
        *(row[name] for name in ('subject', 'size', 'batch', 'dtype', 'pass', 'baseline')),
        f'{row["baseline_ms"]:.1f}',
        f'{row["ours_ms"]:.1f}',
        f'{row["ratio"]:.2f} ({row["ratio_low"]:.2f}-{row["ratio_high"]:.2f})',
        f'{row["of_products"]:.2f}' if 'of_products' in row else '-',
        *('-' if None in pair else f'{pair[0]:.0f} to {pair[1]:.0f}' for pair in (peaks, kept)),
    )
    return '| ' + ' | '.join(map(str, cells)) + ' |'


def above(device: str, types: list[str]) -> ProductRates | None:
    """Print what stands above a table, hardware and versions; of a CPU also its rates of products, which are given."""
    if device == 'cuda':
        print(f'{torch.cuda.get_device_name()}; torch {torch.__version__}')
        return None
    print('\n'.join(machine_lines(machine())), flush=True)
    rates = product_rates(types)
    print('\n'.join(['', *product_lines(rates), '']), flush=True)
    return rates


def add_of_products(row: dict[str, Any], rates: ProductRates | None) -> None:
    """How many times as long as its counted operations would take at the best rate of this run."""
    rate = rates and rates.best.get(row['dtype'])
    if rate:
        row.update(product_rate=rate, of_products=row['ours_ms'] / 1e3 * rate / row['gigaoperations'])


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--subjects', nargs='+', default=DEFAULT, metavar='PATTERN')
    parser.add_argument('--list', action='store_true', help='print the subjects and stop')
    parser.add_argument('--sizes', nargs='+', type=int, default=[512], help='sides of the image in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images in a batch')
    parser.add_argument('--passes', nargs='+', choices=[*PASSES], default=[*PASSES])
    parser.add_argument('--dtype', nargs='+', choices=[*AGREEMENT], default=['float32'])
    parser.add_argument('--threads', type=int, help="threads on a CPU (default: torch's choice)")
    parser.add_argument('--repeats', type=int, default=5, help='rounds')
    parser.add_argument('--no-memory', action='store_true', help='leave out the peaks, which take two more processes')
    parser.add_argument('--json', metavar='FILE', help='write the rows to this file too')
    parser.add_argument(
        '--table',
        metavar='FILE',
        help='print what README and docs quote, in all settings; FILE (.json) keeps what is measured',
    )
    parser.add_argument('--time-limit', type=float, metavar='SECONDS', help='of --table: begin nothing more after this')
    add_debug(parser)
    arguments = parser.parse_args()
    if arguments.list:
        print('\n'.join(SUBJECTS))
        return 0
    if arguments.table:
        return run_tool(lambda: print_table(arguments.table, arguments.threads, arguments.time_limit), arguments.debug)
    return run_tool(lambda: _measure(arguments), arguments.debug)


def _measure(arguments: argparse.Namespace) -> None:
    if arguments.device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device cuda was asked for, but torch sees no GPU.')
    counts = [arguments.repeats, arguments.batch, *arguments.sizes]
    if min(counts) < 1 or (arguments.threads is not None and arguments.threads < 1):
        raise InputError('--repeats, --batch, --sizes and --threads must be at least 1.')
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cases = [
        Case(subject, size, arguments.batch, arguments.device, dtype, PASSES[name])
        for subject in chosen(arguments.subjects)
        for size in arguments.sizes
        for name in arguments.passes
        for dtype in arguments.dtype
    ]
    rates = above(arguments.device, arguments.dtype)
    print('| ' + ' | '.join(COLUMNS) + ' |')
    print('|' + '---|' * len(COLUMNS), flush=True)
    rows = []
    for case in cases:
        rows.append(measure(case, arguments.repeats, not arguments.no_memory))
        add_of_products(rows[-1], rates)
        print(format_row(rows[-1]), flush=True)
        if arguments.json:
            write_json(arguments.json, rows)


if __name__ == '__main__':
    sys.exit(main())
