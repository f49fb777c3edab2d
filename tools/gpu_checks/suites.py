"""The kernels' build, the tests that need a GPU, and compute-sanitizer over the kernels."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from .rows import Failed, Report, Skipped, last_lines

ROOT = Path(__file__).resolve().parents[2]
TESTS = {'operators': ['tests/ops', 'tests/compat'], 'modules': ['tests/layers', 'tests/models']}
TOOLS = ('memcheck', 'racecheck', 'initcheck', 'synccheck')
_SUMMARY = re.compile(r'\d+ (?:passed|failed|skipped|error)[^\n]*')


def build(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """Compile the kernels anew, in a cache of their own, and load the library."""
    from mmvitdense.ops import building

    with report.guard() as row:
        os.environ[building.CACHE_VARIABLE] = str(folder / 'cache')
        start = time.perf_counter()
        library = building.library(device)
        row['seconds to build'] = round(time.perf_counter() - start, 1)
        torch.ops.load_library(library)
        row['detail'] = (
            f'{row["seconds to build"]} s, {library.stat().st_size / 1e6:.1f} MB, for '
            f'{os.environ.get("TORCH_CUDA_ARCH_LIST") or "the devices here"}, {building.key(device)}'
        )


def tests(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """The tests marked `cuda`; on a CPU the same files' tests of gradients alone."""
    for name in names:
        with report.guard(name) as row:
            command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', '--durations=5', '-rfE']
            if device == 'cuda':
                command += ['-m', 'cuda', *TESTS[name]]
            else:
                command += ['-k', 'fully_outside and cpu', 'tests/ops/test_gradients.py']
            workers = int(os.environ.get('MMVITDENSE_CHECK_WORKERS', 1))
            if workers > 1 and importlib.util.find_spec('xdist'):
                command += ['-n', str(workers), '--dist', 'worksteal']
            log = folder / f'{name}.log'
            with log.open('w') as file:
                done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
            text = log.read_text()
            summary = (_SUMMARY.findall(text) or ['no summary'])[-1]
            row['detail'] = summary
            if done.returncode:
                failed = re.findall(r'^(?:FAILED|ERROR) (\S+)(.*)', text, re.MULTILINE)
                row['failures'] = [' '.join(parts)[:400] for parts in failed[:60]]
                row['log'] = text[-12000:]
                raise Failed(f'{summary}; first {failed[0][0] if failed else last_lines(text)}')


def sanitizer(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """Each tool of compute-sanitizer over a short program that runs every kernel."""
    program = shutil.which('compute-sanitizer') or _beside_nvcc('compute-sanitizer')
    for name in names:
        with report.guard(name) as row:
            command = [sys.executable, '-m', 'tools.gpu_checks.kernel_calls', device]
            if device == 'cuda':
                if program is None:
                    raise Skipped('compute-sanitizer is neither on PATH nor beside nvcc')
                options = ['--tool', name, '--error-exitcode', '9', '--print-limit', '20']
                # Only what this project compiled, as torch's kernels take most of the time; but what they write has to
                # be known for a check of what was never written.
                chosen = [] if name == 'initcheck' else ['--kernel-name', 'kernel_substring=mmvitdense']
                command = [program, *options, *chosen, *command]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_without_cache())
            text = done.stdout + done.stderr
            row['detail'] = ' '.join(re.findall(r'(?:ERROR|RACECHECK) SUMMARY: [^\n]*|calls: \d+', text)) or text[-200:]
            if done.returncode:
                row['log'] = text[:3000] + '\n...\n' + text[-5000:]
                raise Failed(f'exit code {done.returncode}: {row["detail"]}')


def _beside_nvcc(name: str) -> str | None:
    from mmvitdense.ops import building

    folder = building.cuda_toolkit()
    return shutil.which(name, path=str(folder / 'bin')) if folder else None


def _without_cache() -> dict[str, str]:
    """Every tensor an allocation of its own, so that what lies behind one is nobody's."""
    return {**os.environ, 'PYTORCH_NO_CUDA_MEMORY_CACHING': '1'}
