"""All that README and docs quote of the speed on a CPU, in one table, each part measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.files import write_json

from .machine import machine, machine_lines
from .products import product_lines, product_rates
from .runtimes import OTHERS, OURS

SETTINGS: dict[str, dict[str, str]] = {
    'as it is': {},
    'MMVITDENSE_LINEAR=torch': {'MMVITDENSE_LINEAR': 'torch'},
    'ATEN_CPU_CAPABILITY=avx2': {'ATEN_CPU_CAPABILITY': 'avx2'},
}
"""{name: environment variables}."""
MODELS = ('vitdet-b', 'vit-comer-s', 'vit-adapter-s')
SERVED = ('served-plain-vit-s', 'served-vitdet-b', 'served-upernet-vit-b', 'served-vit-comer-s', 'served-vit-adapter-s')
PASSES = {'forward': 5, 'training': 3}
"""{pass: rounds}."""
SIZE = 512
_TOOL = Path(__file__).parents[1] / 'benchmark_models.py'
_WORKER = Path(__file__).with_name('runtimes_of_one.py')


class Part(NamedTuple):
    """What one process measures: a model and pass in a setting, or a served model in all runtimes."""

    setting: str
    subject: str
    passed: str

    @property
    def key(self) -> str:
        """Its name in the file."""
        return ' / '.join(self)


PARTS = [
    *(Part('as it is', name, 'runtimes') for name in SERVED),
    *(Part(setting, name, passed) for setting in SETTINGS for name in MODELS for passed in PASSES),
]


def print_table(path: str | Path, threads: int | None = None, time_limit: float | None = None) -> None:
    """Measure the parts that the file has not got, write each into it, and print the tables.

    Args:
        path: A .json file, written anew after every part.
        threads: Threads of torch and of the runtimes; by default all cores.
        time_limit: Seconds after which no part is begun; None for all parts.

    Raises:
        InputError: The file is of another machine or other libraries, or a part failed.
    """
    if threads:
        torch.set_num_threads(threads)
    path, start = Path(path), time.monotonic()
    done = _opened(path)
    for part in PARTS:
        if time_limit is not None and time.monotonic() - start > time_limit:
            break
        if part.key not in done['parts']:
            print(f'{part.key} ...', file=sys.stderr, flush=True)
            done['parts'][part.key] = _measured(part)
            write_json(path, done)
    print('\n'.join(lines_of(done)))
    missing = sum(part.key not in done['parts'] for part in PARTS)
    if missing:
        print(f'\n{missing} of {len(PARTS)} parts are not measured yet: run the command again.')


def lines_of(done: dict[str, Any]) -> list[str]:
    """Both tables, of what is measured so far."""
    return [*done['above'], '', *_against_releases(done['parts']), '', *_against_runtimes(done['parts'])]


def _opened(path: Path) -> dict[str, Any]:
    facts = machine()
    same = {name: value for name, value in facts.items() if name != 'load of a minute'}
    if not path.exists():
        above = [*machine_lines(facts), '', *product_lines(product_rates(['bfloat16']))]
        return {'machine': same, 'above': above, 'parts': {}}
    done = json.loads(path.read_text())
    if done.get('machine') != json.loads(json.dumps(same)):
        raise InputError(f'{path} has figures of another machine, library or number of threads: give another file.')
    return done


def _measured(part: Part) -> dict[str, Any]:
    """The row of a part, from a process with the variables of its setting."""
    threads = ['--threads', str(torch.get_num_threads())]
    if part.passed == 'runtimes':
        command = [_WORKER, part.subject, str(SIZE), str(PASSES['forward']), *threads[1:]]
        return json.loads(_output(part, [sys.executable, *command]).splitlines()[-1])
    options = ['--subjects', part.subject, '--passes', part.passed, '--sizes', str(SIZE)]
    options += ['--repeats', str(PASSES[part.passed]), '--no-memory', '--device', 'cpu', *threads]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, 'rows.json')
        _output(part, [sys.executable, _TOOL, *options, '--json', rows])
        return json.loads(rows.read_text())[0]


def _output(part: Part, command: list[Any]) -> str:
    environment = {**os.environ, **SETTINGS[part.setting]}
    found = subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise InputError(f'{part.key} failed: {(found.stderr.strip().splitlines() or ["no output"])[-1]}')
    return found.stdout


def _against_releases(parts: dict[str, Any]) -> list[str]:
    """Ratios in each setting; the last column is what may be claimed."""
    lines = [
        f'Against the formulation of the release, {SIZE} x {SIZE}, one image, float32 (times: as it is):',
        '| model | pass | baseline ms | ours ms | of products | ' + ' | '.join(SETTINGS) + ' | lowest |',
        '|' + '---|' * (6 + len(SETTINGS)),
    ]
    for name in MODELS:
        for passed in PASSES:
            rows = [parts.get(Part(setting, name, passed).key) for setting in SETTINGS]
            cells = [name, passed]
            cells += [_number(rows[0], key, form) for key, form in _TIMES.items()]
            cells += [_ratio(row) for row in rows]
            known = [row['ratio'] for row in rows if row]
            lines.append('| ' + ' | '.join([*cells, f'{min(known):.2f}' if known else '-']) + ' |')
    return lines


_TIMES = {'baseline_ms': '.0f', 'ours_ms': '.0f', 'of_products': '.2f'}


def _number(row: dict[str, Any] | None, key: str, form: str) -> str:
    return f'{row[key]:{form}}' if row and key in row else '-'


def _ratio(row: dict[str, Any] | None) -> str:
    return f'{row["ratio"]:.2f} ({row["ratio_low"]:.2f}-{row["ratio_high"]:.2f})' if row else '-'


def _against_runtimes(parts: dict[str, Any]) -> list[str]:
    kinds = [*OURS, *OTHERS]
    lines = [
        f'The same model in other runtimes, {SIZE} x {SIZE}, one image: milliseconds, and in brackets the time of ours '
        'against it (above 1: it is faster than ours), and the ratio to the products alone:',
        '| model | ' + ' | '.join(kinds) + ' | of products: ' + ', '.join(OURS) + ' |',
        '|' + '---|' * (2 + len(kinds)),
    ]
    for name in SERVED:
        row = parts.get(Part('as it is', name, 'runtimes').key)
        if row is None:
            continue
        cells = [
            f'{row["ms"][kind]:.0f} ({1 / row["ratio"][kind]:.2f})' if kind in row['ms'] else '-' for kind in kinds
        ]
        ratios = ', '.join(f'{row["of products"][kind]:.2f}' if kind in row['of products'] else '-' for kind in OURS)
        lines.append(f'| {name.removeprefix("served-")} | ' + ' | '.join(cells) + f' | {ratios} |')
    return lines
