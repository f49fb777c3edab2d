"""Everything that `mmvitdense info` says, as plain data."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import mmvitdense
from mmvitdense import compat
from mmvitdense.ops import backends, building
from mmvitdense.ops.availability import availability

from .distributions import LINES, OPTIONAL, installed, line_of, version_of
from .problems import find_problems

_VARIABLES = 'MMVITDENSE_'


def environment_report() -> dict[str, Any]:
    """Look at this machine; nothing is compiled, fetched or written.

    Returns:
        'mmvitdense', 'python', 'system', 'packages' ({name: version or None}), 'openmmlab' (the line), 'devices',
        'kernels', 'tools' (of compilation), 'optional' ({name: version and purpose}), 'variables' (of the environment)
        and 'problems', a list of what is wrong ('what') and the command or step that mends it ('mend').
    """
    report = {
        'mmvitdense': {'version': mmvitdense.__version__, 'folder': str(Path(mmvitdense.__file__).parent)},
        'python': {'version': platform.python_version(), 'program': sys.executable},
        'system': f'{platform.system()} {platform.release()}, {platform.machine()}',
        'packages': _packages(),
        'openmmlab': line_of(),
        'devices': _devices(),
        'kernels': _kernels(),
        'tools': _tools(),
        'optional': {name: {'version': version_of(name), 'for': purpose} for name, purpose in OPTIONAL.items()},
        'variables': {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
    }
    return {**report, 'problems': find_problems(report)}


def _packages() -> dict[str, Any]:
    openmmlab = {}
    for module, (maintained, originals) in LINES.items():
        found = installed((maintained, *originals))
        openmmlab[module] = ', '.join(f'{name} {version}' for name, version in found.items()) or None
    opencv = installed(('opencv-python', 'opencv-python-headless', 'opencv-contrib-python'))
    return {
        'torch': torch.__version__,
        'torchvision': _imported('torchvision'),
        'numpy': _imported('numpy'),
        'opencv': ', '.join(f'{name} {version}' for name, version in opencv.items()) or _imported('cv2'),
        'pycocotools': version_of('pycocotools'),
        **openmmlab,
    }


def _imported(module: str) -> str | None:
    """The version of a module that can be imported; why it cannot, where it is installed and broken."""
    try:
        return getattr(importlib.import_module(module), '__version__', 'unknown')
    except ModuleNotFoundError as error:
        return None if error.name == module else f'broken: {error}'
    except Exception as error:  # a library that was built for another one raises what it likes
        return f'broken: {" ".join(str(error).split())[:200]}'


def _devices() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    gpus = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(number)
            gpus.append(
                {'name': gpu.name, 'memory_gib': round(gpu.total_memory / 2**30, 1), 'sm': f'{gpu.major}.{gpu.minor}'}
            )
    return {
        'cpu': {'cores': cores, 'threads': torch.get_num_threads(), 'instructions': capability},
        'cuda': gpus,
        'torch_cuda': torch.version.cuda,
        'nvidia_driver': shutil.which('nvidia-smi') is not None,
        'mps': torch.backends.mps.is_available(),
    }


def _kernels() -> dict[str, Any]:
    kinds = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]
    kernels = {}
    for kind in kinds:
        found = availability(kind)
        kernels[kind] = {
            'state': found.state,
            'library': found.library and str(found.library),
            'reason': found.reason,
            'stale': found.stale and str(found.stale),
        }
    return {'chosen': backends.chosen(), 'cache': str(building.cache_root()), 'mmcv.ops': compat.status(), **kernels}


def _tools() -> dict[str, str | None]:
    toolkit = building.cuda_toolkit()
    return {
        'compiler': _first_line(os.environ.get('CXX', 'c++').split()[0]),
        'ninja': _first_line('ninja') or _first_line(str(Path(sys.executable).parent / 'ninja')),
        'nvcc': toolkit and _first_line(str(toolkit / 'bin' / 'nvcc'), 'release'),
    }


def _first_line(program: str, word: str = '') -> str | None:
    """The line of `program --version` that has `word` in it, None where there is no such program."""
    found = shutil.which(program)
    if found is None:
        return None
    try:
        printed = subprocess.run([found, '--version'], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next((line.strip() for line in printed.splitlines() if word in line), found)
