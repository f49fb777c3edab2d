"""Time whole runs on photographs: testing, predicting and training, against the tools of mmdet and mmseg.

Both sides have the same model, weights and images, in turns; each run is a process of its own. `test_fused` is the test
by `--fuse`. Detectors keep 100 boxes an image with their masks, whatever their score. The data is a folder in the
layout of COCO 2017, with label maps of 133 classes in `annotations/semantic_val2017` and `semantic_train2017` for
segmentors. Shares are of the time of a run whose images are loaded in the same process (`--workers 0`); with workers,
loading is beside the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from benchmarks.machine import machine, machine_lines
from benchmarks.runs import MODELS, SIDES, WAYS, Photographs, run

from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.apis.files import write_json
from mmvitdense.apis.freed_memory import keep_freed_memory

UNITS = {'test': 'images/s', 'test_fused': 'images/s', 'predict': 'images/s', 'train': 'iterations/s'}


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', metavar='FOLDER', type=Path, help='photographs and annotations')
    parser.add_argument('--models', nargs='+', choices=[*MODELS], default=[*MODELS])
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=[*WAYS])
    parser.add_argument('--images', type=int, default=10, help='images or iterations of a run')
    parser.add_argument('--rounds', type=int, default=2, help='runs of each side')
    parser.add_argument('--workers', type=int, default=0, help='processes that load images')
    parser.add_argument('--threads', type=int, help="threads of the model (default: torch's choice)")
    parser.add_argument('--json', metavar='FILE', help='write the rows to this file too')
    parser.add_argument('--one', choices=SIDES, help='run one side once and print what it took as JSON')
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: (_one if arguments.one else _measure)(arguments), arguments.debug)


def _one(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.one == 'ours':
        keep_freed_memory()  # as the commands of `mmvitdense` do
    photographs = Photographs(arguments.data.resolve(), arguments.images)
    taken = run(arguments.models[0], arguments.ways[0], arguments.one, photographs, arguments.workers)
    print('\n' + json.dumps(taken._asdict()))


def _measure(arguments: argparse.Namespace) -> None:
    if not (arguments.data / 'annotations').is_dir():
        raise InputError(f'{arguments.data} has no folder annotations: give a folder in the layout of COCO 2017.')
    if min(arguments.images, arguments.rounds) < 1 or arguments.workers < 0:
        raise InputError('--images and --rounds must be at least 1, --workers at least 0.')
    print('\n'.join(machine_lines(machine())))
    print('\n| model | run | unit | library | ours | ours is faster by | shares of the library | shares of ours |')
    print('|' + '---|' * 8, flush=True)
    rows = []
    for model in arguments.models:
        for way in arguments.ways:
            found = {side: [] for side in SIDES}
            for turn in range(arguments.rounds):
                for side in SIDES if turn % 2 else SIDES[::-1]:
                    found[side].append(_in_new_process(arguments, model, way, side))
            rows.append({'model': model, 'run': way, **found})
            print(_row(model, way, found), flush=True)
            if arguments.json:
                write_json(arguments.json, rows)


def _in_new_process(arguments: argparse.Namespace, model: str, way: str, side: str) -> dict:
    command = [sys.executable, __file__, str(arguments.data), '--models', model, '--ways', way, '--one', side]
    command += ['--images', str(arguments.images), '--workers', str(arguments.workers)]
    command += ['--threads', str(arguments.threads or torch.get_num_threads()), '--debug']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f'{model}, {way}, {side}: {(done.stderr.strip().splitlines() or ["no output"])[-1]}')
    return json.loads(done.stdout.splitlines()[-1])


def _row(model: str, way: str, found: dict[str, list[dict]]) -> str:
    best = {side: min(runs, key=lambda taken: taken['seconds']) for side, runs in found.items()}
    rates = {side: taken['units'] / taken['seconds'] for side, taken in best.items()}
    shares = {
        side: ', '.join(f'{name} {share:.0%}' for name, share in taken['shares'].items() if share >= 0.005)
        for side, taken in best.items()
    }
    cells = [model, way, UNITS[way], f'{rates["library"]:.2f}', f'{rates["ours"]:.2f}']
    cells += [f'{rates["ours"] / rates["library"]:.2f}', shares['library'], shares['ours']]
    return '| ' + ' | '.join(cells) + ' |'


if __name__ == '__main__':
    sys.exit(main())
