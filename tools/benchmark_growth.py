"""Time and memory of models as images and batches grow, against their operations: a table, and a plot.

`of products` is the time against that of the counted operations at the best rate of products in the same run. Nothing
should grow faster than its operations: where it does so by more than `--allowed`, the row has a mark. Peak memory is
that of a process beyond parameters, in a forward pass; each row is a process of its own, and its time the median of
four passes, of fewer where these take more than four seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import machine, machine_lines
from benchmarks.measure import Case, choose_products, runner
from benchmarks.products import operations, product_rates
from benchmarks.subjects import build

from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.apis.files import write_json
from mmvitdense.apis.fusing import fuse_for_inference
from mmvitdense.apis.timing import peak_bytes, seconds_of

FAMILIES = ['vitdet-b', 'vit-comer-s', 'vit-adapter-s', 'mimdet-b-ratio-0.5', 'eomt-s']
SIZES, BATCHES = [256, 512, 1024, 1536], [1, 2, 4]
COLUMNS = ('model', 'size', 'batch', 'GFLOP', 'ms', 'of products', 'peak MB', 'MB for 1000 tokens')
_ROUNDS = 4
_ENOUGH = 4.0
"""Seconds after which a row has no further round."""
_PATCH = 16


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--subjects', nargs='+', default=FAMILIES, metavar='NAME', help='as of benchmark_models.py')
    parser.add_argument('--sizes', nargs='+', type=int, default=SIZES)
    parser.add_argument('--batches', nargs='+', type=int, default=BATCHES)
    parser.add_argument('--threads', type=int, help="threads (default: torch's choice)")
    parser.add_argument('--fused', action='store_true', help='the models as `fuse_for_inference` makes them')
    parser.add_argument('--allowed', type=float, default=1.25, help='growth of time over operations that has no mark')
    parser.add_argument('--json', metavar='FILE', help='keeps the rows; what it has is not measured again')
    parser.add_argument('--plot', metavar='FILE', help='a .png of time and memory against operations')
    parser.add_argument('--one', action='store_true', help='measure the first of all and print the row as JSON')
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: (_one if arguments.one else _measure)(arguments), arguments.debug)


def _one(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print('\n' + json.dumps(grown(arguments.subjects[0], arguments.sizes[0], arguments.batches[0], arguments.fused)))


def grown(name: str, size: int, batch: int, fused: bool = False) -> dict[str, Any]:
    """One row; of a fused model the operations are those of the model as it is."""
    case = Case(name, size, batch, 'cpu', 'float32', training=False)
    choose_products(case)
    pair = build(name, size, batch, 'cpu', False)
    run = runner(pair, 'ours', case)
    with torch.no_grad():
        counted = operations(run)  # and what a first call does is done
    if fused:
        copied = fuse_for_inference(pair.model)
        ours = copied if pair.ours is pair.model else getattr(copied, pair.ours.__name__)
        run = runner(pair._replace(ours=ours), 'ours', case)
        run()
    seconds = []

    def timed() -> None:
        seconds.append(seconds_of(run, 'cpu'))

    peak = peak_bytes(timed, 'cpu')
    while len(seconds) < _ROUNDS and sum(seconds) < _ENOUGH:
        timed()
    taken = statistics.median(seconds)
    rate = product_rates().best['float32']
    row = {'model': _label(name, fused), 'size': size, 'batch': batch, 'GFLOP': counted, 'ms': taken * 1e3}
    tokens = batch * (size / _PATCH) ** 2 / 1000
    megabytes = None if peak is None else peak / 1e6
    return {
        **row,
        'of products': taken * rate / counted,
        'peak MB': megabytes,
        'MB for 1000 tokens': megabytes and megabytes / tokens,
    }


def _measure(arguments: argparse.Namespace) -> None:
    if min([*arguments.sizes, *arguments.batches]) < 1:
        raise InputError('--sizes and --batches must be at least 1.')
    print('\n'.join([*machine_lines(machine()), '', '| ' + ' | '.join(COLUMNS) + ' |', '|' + '---|' * len(COLUMNS)]))
    kept = Path(arguments.json) if arguments.json else None
    rows = json.loads(kept.read_text()) if kept and kept.exists() else []
    found = []
    for name in arguments.subjects:
        for size in arguments.sizes:
            for batch in arguments.batches:
                wanted = _label(name, arguments.fused), size, batch
                known = [row for row in rows if (row['model'], row['size'], row['batch']) == wanted]
                row = known[0] if known else _in_new_process(arguments, name, size, batch)
                if not known:
                    rows.append(row)
                    if kept:
                        write_json(kept, rows)
                found.append(row)
                print(_line(row, found, arguments.allowed), flush=True)
    if arguments.plot:
        plot(found, arguments.plot)


def _in_new_process(arguments: argparse.Namespace, name: str, size: int, batch: int) -> dict[str, Any]:
    command = [sys.executable, __file__, '--one', '--debug', '--subjects', name, '--sizes', str(size)]
    command += ['--fused'] if arguments.fused else []
    command += ['--batches', str(batch), '--threads', str(arguments.threads or torch.get_num_threads())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f'{name} at {size}: {(done.stderr.strip().splitlines() or ["no output"])[-1]}')
    return json.loads(done.stdout.splitlines()[-1])


def _label(name: str, fused: bool) -> str:
    return f'{name}, fused' if fused else name


def _line(row: dict[str, Any], before: list[dict[str, Any]], allowed: float) -> str:
    """A row; with a mark where a smaller one of the model took less time for each operation."""
    same = [other for other in before if other['model'] == row['model'] and other['GFLOP'] < row['GFLOP']]
    worse = any(row['ms'] / row['GFLOP'] > allowed * other['ms'] / other['GFLOP'] for other in same)
    forms = {'GFLOP': '.0f', 'ms': '.0f', 'of products': '.2f', 'peak MB': '.0f', 'MB for 1000 tokens': '.0f'}
    cells = [('-' if row[name] is None else f'{row[name]:{forms.get(name, "")}}') for name in COLUMNS]
    return '| ' + ' | '.join(cells) + (' | grows faster than its operations' if worse else ' |')


def plot(rows: list[dict[str, Any]], path: str) -> None:
    """Time and peak memory against operations, on logarithmic axes."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2), constrained_layout=True)
    for name in dict.fromkeys(row['model'] for row in rows):
        mine = sorted((row for row in rows if row['model'] == name), key=lambda row: row['GFLOP'])
        for axis, key in zip(axes, ('ms', 'peak MB')):
            axis.loglog([row['GFLOP'] for row in mine], [row[key] or 0 for row in mine], '.-', label=name, linewidth=1)
    for axis, label in zip(axes, ('milliseconds', 'peak MB')):
        axis.set(xlabel='GFLOP', ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=90)


if __name__ == '__main__':
    sys.exit(main())
