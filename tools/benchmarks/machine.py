"""What stands above a table: the machine that its figures hold on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from mmvitdense.ops import product_choice
from mmvitdense.ops.processor import library_versions, processor, steering_variables

_CACHES = Path('/sys/devices/system/cpu/cpu0/cache')


def machine() -> dict[str, Any]:
    """Processor, caches, libraries and what else is at work, as plain data."""
    found = processor()
    return {
        'processor': found.name,
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'vector extensions': list(found.vectors),
        'caches': caches(),
        'threads': torch.get_num_threads(),
        'libraries': library_versions(),
        'variables': {
            **steering_variables(),
            **({name: os.environ[name]} if (name := product_choice.VARIABLE) in os.environ else {}),
        },
        'load of a minute': round(os.getloadavg()[0], 1) if hasattr(os, 'getloadavg') else None,
    }


def machine_lines(facts: dict[str, Any]) -> list[str]:
    """The same to read."""
    variables = ', '.join(f'{name}={value}' for name, value in facts['variables'].items())
    lines = [
        f'Processor: {facts["processor"]}; {facts["cores"]} cores, {facts["threads"]} threads used; '
        f'{" ".join(facts["vector extensions"])}',
        f'Caches: {", ".join(facts["caches"]) or "not known"}',
        'Libraries: ' + ', '.join(f'{name} {version}' for name, version in facts['libraries'].items()),
    ]
    lines += [f'Variables: {variables}'] if variables else []
    return [*lines, f'Load when it began: {facts["load of a minute"]}']


def caches() -> list[str]:
    """Those that the first core sees, such as 'L2 1024K'; nothing where the system does not say."""
    found = []
    for folder in sorted(_CACHES.glob('index*')):
        try:
            level, kind, size = ((folder / name).read_text().strip() for name in ('level', 'type', 'size'))
        except OSError:
            continue
        found.append(f'L{level}{"" if kind == "Unified" else kind[0].lower()} {size}')
    return found
