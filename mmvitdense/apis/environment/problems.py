"""What is wrong with an environment, each with the command or step that mends it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmvitdense import compat
from mmvitdense.compat import switch

from .distributions import LINES, installed

_OLDEST_TORCH = (2, 6)
_PKG_RESOURCES_UNTIL = 81
"""The first release of setuptools without pkg_resources."""
_OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless')


def find_problems(report: dict[str, Any]) -> list[dict[str, str]]:
    """Look through what `environment_report` found.

    Returns:
        A list of {'what': ..., 'mend': ...}; empty where nothing is wrong.
    """
    checks = (_lines, _libraries, _opencv, _torch, _gpu, _kernels, _variables)
    return [{'what': what, 'mend': mend} for check in checks for what, mend in check(report)]


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    both = [
        name
        for maintained, originals in LINES.values()
        if len(found := installed((maintained, *originals))) > 1
        for name in found
    ]
    everything = [name for maintained, originals in LINES.values() for name in installed((maintained, *originals))]
    if both or report['openmmlab'] == 'both':
        yield (
            f'two lines of OpenMMLab are installed over each other ({", ".join(both or everything)}): their folders '
            'have the same names, so that one has overwritten files of the other',
            f'pip uninstall -y {" ".join(everything)} && pip install "mmvitdense[onedl]"',
        )


def _libraries(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    packages, line = report['packages'], report['openmmlab']
    extra = 'openmmlab' if line == 'original' else 'onedl'
    if packages['mmcv'] is None:
        yield 'mmcv is not installed, which every model needs', f'pip install "mmvitdense[{extra}]"'
    elif packages['mmdet'] is None and packages['mmseg'] is None:
        yield (
            'neither mmdet nor mmseg is installed: there are backbones, and no detectors and segmentors',
            f'pip install "mmvitdense[{extra}]"',
        )
    if installed(('mmengine',)) and find_spec('pkg_resources') is None:
        yield (
            f'the original mmengine imports pkg_resources, which setuptools {_PKG_RESOURCES_UNTIL} and newer lack',
            f'pip install "setuptools<{_PKG_RESOURCES_UNTIL}"',
        )
    missing = [name for name in ('ftfy', 'regex') if find_spec(name) is None]
    if installed(('mmsegmentation',)) and missing:
        yield (
            f'the original mmsegmentation imports {" and ".join(missing)} without asking for it',
            f'pip install {" ".join(missing)}',
        )


def _opencv(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = installed(_OPENCV)
    if len({*found.values()}) > 1:
        versions = ', '.join(f'{name} {version}' for name, version in found.items())
        yield (
            f'{len(found)} releases of OpenCV are installed over each other: {versions}',
            f'pip uninstall -y {" ".join(found)} && pip install opencv-python',
        )
    elif report['packages']['opencv'] is None:
        yield 'OpenCV is not installed, which reads every image', 'pip install opencv-python'


def _torch(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    version = report['packages']['torch']
    numbers = tuple(int(number) for number in re.findall(r'\d+', version)[:2])
    if numbers < _OLDEST_TORCH:
        oldest = '.'.join(map(str, _OLDEST_TORCH))
        yield (
            f'torch {version} is older than {oldest}, and can be made to run code by a checkpoint (CVE-2025-32434)',
            f'pip install --upgrade "torch>={oldest}" torchvision',
        )
    torchvision = report['packages']['torchvision']
    if torchvision is None or torchvision.startswith('broken'):
        said = 'is not installed' if torchvision is None else f'does not fit torch {version} ({torchvision})'
        yield f'torchvision {said}', 'pip install --force-reinstall torch torchvision'


def _gpu(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    devices = report['devices']
    if not devices['nvidia_driver'] or devices['cuda']:
        return
    if devices['torch_cuda'] is None:
        yield (
            'there is an NVIDIA driver here, and this torch was built without CUDA',
            'pip install --force-reinstall torch torchvision, from the index that https://pytorch.org names for CUDA',
        )
    elif os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1'):
        yield 'CUDA_VISIBLE_DEVICES hides every GPU', 'unset CUDA_VISIBLE_DEVICES'
    else:
        yield (
            f'there is an NVIDIA driver here, and torch with CUDA {devices["torch_cuda"]} sees no GPU',
            'run nvidia-smi: it says whether a GPU is there and which CUDA the driver knows',
        )


def _kernels(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kernels = report['kernels']
    for kind in ('cpu', 'cuda'):
        state = kernels.get(kind)
        if state is None:
            continue
        if state['state'] == 'plain PyTorch' and kernels['chosen'] != 'reference':
            what, _, mend = state['reason'].partition(';')
            yield (
                f'the kernels on {kind} cannot be built, and plain PyTorch serves, several times slower: {what}',
                mend.strip().removeprefix('run ').strip('`') or 'see docs/ops.md',
            )
        if state['stale']:
            yield (
                f'{state["stale"]} was built for another torch or from other sources and is not used',
                f'rm {state["stale"]}',
            )
    cache = Path(kernels['cache'])
    nearest = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        yield f'compiled kernels cannot be kept: {nearest} may not be written to', 'export MMVITDENSE_CACHE=FOLDER'


def _variables(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        switch.left_out(compat.PATCHES)
    except ValueError as error:
        yield str(error), f'unset {switch.VARIABLE}'
