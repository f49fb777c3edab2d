"""Check this project on a GPU, in one command of under ten minutes: correctness, then speed, and one table at the end.

Each check runs in processes of its own, so that an error of CUDA ends no other; its rows are written to
FOLDER/rows.jsonl as they come, so that a run which is cut off has lost nothing; one that is terminated still prints the
table. Where a command may take 280 seconds at most, `--share 1/3 --time-limit 270`, then 2/3 and 3/3, each run a third;
each prints the table of all so far. With `--device cpu` the checks themselves are tried: the CPU is then compared with
itself, its kernels with plain PyTorch.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.gpu_checks.checks import CHECKS, function  # noqa: E402


def main() -> int:
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--only', nargs='+', choices=[*CHECKS], metavar='NAME', help=f'of {", ".join(CHECKS)}')
    parser.add_argument('--skip', nargs='+', choices=[*CHECKS], default=[], metavar='NAME', help='leave these out')
    parser.add_argument(
        '--items', nargs='+', default=[], metavar='TEXT', help='only items with one of these in the name'
    )
    parser.add_argument(
        '--time-limit', type=float, default=570, metavar='SECONDS', help='of all together (default: 570)'
    )
    parser.add_argument(
        '--share', type=_share, default=(1, 1), metavar='K/N', help='the K-th of N shares of all (default: all)'
    )
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes at a time (default: one a core)')
    parser.add_argument('--folder', type=Path, default=Path('work_dirs/check_gpu'), help='for rows and logs')
    parser.add_argument('--part', choices=[*CHECKS], help=argparse.SUPPRESS)
    parser.add_argument('--out', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # For programs that are started in turn, whether the package is installed or not.
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
    if arguments.part:
        return _part(arguments)
    return _whole(arguments)


def _share(text: str) -> tuple[int, int]:
    number, _, count = text.partition('/')
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f'{text!r} is no share; give one as 1/3, 2/3 or 3/3')
    return int(number), int(count)


def _whole(arguments: argparse.Namespace) -> int:
    import torch

    from tools.gpu_checks.running import Runner, rows_in, table

    if arguments.device == 'cuda' and not torch.cuda.is_available():
        print(
            'error: torch sees no GPU; install a torch with CUDA, or give --device cpu to try the checks themselves.',
            file=sys.stderr,
        )
        return 1
    if arguments.jobs < 1 or arguments.time_limit <= 0:
        print('error: --jobs must be at least 1 and --time-limit more than 0.', file=sys.stderr)
        return 1
    start = time.monotonic()
    names = [name for name in arguments.only or CHECKS if name not in arguments.skip]
    folder = arguments.folder.resolve()
    runner = Runner(arguments.device, folder, arguments.time_limit, arguments.jobs, arguments.share)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    runner.run(names, arguments.items)
    lines = table(rows_in(folder))
    (runner.folder / 'table.txt').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))
    bad = sum(row['status'] not in ('passed', 'measured', 'skipped') for row in runner.rows)
    print(f'{len(runner.rows)} rows, {bad} of them not as they should be, in {time.monotonic() - start:.0f} s')
    return 1 if bad else 0


def _part(arguments: argparse.Namespace) -> int:
    """One process of one check."""
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    import torch

    import mmvitdense  # noqa: F401
    from tools.gpu_checks.rows import Report

    logging.disable(logging.WARNING)  # mmengine writes a line for each parameter
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    folder = arguments.out.with_suffix('.files')
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    items = arguments.out.with_suffix('.items').read_text().split('\n')
    function(CHECKS[arguments.part].place)(items, arguments.device, Report(arguments.part, arguments.out), folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
