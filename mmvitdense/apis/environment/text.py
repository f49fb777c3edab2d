"""The report of an environment as lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_WIDTH = 17


def report_as_text(report: dict[str, Any]) -> str:
    """The lines that `mmvitdense info` prints, of what `environment_report` returns."""
    return '\n'.join(_lines(report))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    own, python = report['mmvitdense'], report['python']
    yield _row('mmvitdense', f'{own["version"]}  {own["folder"]}')
    yield _row('python', f'{python["version"]}  {python["program"]}')
    yield _row('system', report['system'])
    yield '\nPackages'
    for name, version in report['packages'].items():
        yield _row(name, version or 'not installed')
    yield _row('OpenMMLab line', report['openmmlab'])
    yield '\nDevices'
    yield from _devices(report['devices'])
    yield '\nKernels'
    yield from _kernels(report['kernels'])
    for name, line in report['tools'].items():
        yield _row(name, line or 'not found')
    yield '\nOptional packages'
    for name, package in report['optional'].items():
        yield _row(name, f'{package["version"] or "-":<12} {package["for"]}{_install(name, package)}')
    if report['variables']:
        yield '\nVariables of the environment'
        yield from (_row(name, value) for name, value in report['variables'].items())
    yield '\nProblems' if report['problems'] else '\nProblems: none'
    for problem in report['problems']:
        yield f'  {problem["what"]}'
        yield f'    mend: {problem["mend"]}'


def _row(name: str, text: Any) -> str:
    return f'  {name:<{_WIDTH}} {text}'


def _install(name: str, package: dict[str, Any]) -> str:
    return '' if package['version'] else f'  (pip install {name})'


def _devices(devices: dict[str, Any]) -> Iterator[str]:
    cpu = devices['cpu']
    yield _row('cpu', f'{cpu["cores"]} cores, {cpu["threads"]} threads of torch, {cpu["instructions"]}')
    for number, gpu in enumerate(devices['cuda']):
        yield _row(f'cuda:{number}', f'{gpu["name"]}, {gpu["memory_gib"]} GiB, compute capability {gpu["sm"]}')
    if not devices['cuda']:
        built = f'torch is built for CUDA {devices["torch_cuda"]}' if devices['torch_cuda'] else 'torch has no CUDA'
        yield _row('cuda', f'no GPU ({built})')
    if devices['mps']:
        yield _row('mps', 'available')


def _kernels(kernels: dict[str, Any]) -> Iterator[str]:
    for kind in ('cpu', 'cuda'):
        if state := kernels.get(kind):
            detail = state['library'] or state['reason'] or 'the first call compiles them, in about 15 s'
            yield _row(f'kernels on {kind}', f'{state["state"]}: {detail}')
    if kernels['chosen'] != 'auto':
        yield _row('backend', f"'{kernels['chosen']}' is asked for")
    yield _row('mmcv.ops', kernels['mmcv.ops'])
