"""What the processor is, as far as the speed of float32 depends on it."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

_VECTORS = ('avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'amx_tile', 'asimd', 'sve', 'bf16')
_STEERING = (
    'ATEN_CPU_CAPABILITY',
    'DNNL_MAX_CPU_ISA',
    'MKL_CBWR',
    'MKL_DEBUG_CPU_TYPE',
    'MKL_ENABLE_INSTRUCTIONS',
    'ONEDNN_MAX_CPU_ISA',
)
"""Environment variables by which a library of torch leaves out instructions."""


class Processor(NamedTuple):
    """A processor.

    Attributes:
        name: As the system has it, with family, model and stepping where a name alone stands for several.
        vectors: Its vector extensions, of those that matter here.
        instructions: A short hash of all its extensions.
    """

    name: str
    vectors: tuple[str, ...]
    instructions: str


@lru_cache(maxsize=1)
def processor() -> Processor:
    """That of this machine."""
    facts = _cpuinfo()
    name = facts.get('model name') or facts.get('cpu part') or os.environ.get('PROCESSOR_IDENTIFIER')
    name = name or platform.processor() or platform.machine()
    numbers = [f'{key.split()[-1]} {facts[key]}' for key in ('cpu family', 'model', 'stepping') if key in facts]
    flags = sorted((facts.get('flags') or facts.get('features') or '').split())
    digest = hashlib.sha256(' '.join(flags).encode()).hexdigest()[:8]
    return Processor(', '.join([name, *numbers]), tuple(flag for flag in _VECTORS if flag in flags), digest)


def multiplies_bfloat16() -> bool:
    """Whether it multiplies bfloat16 (AVX512-BF16 or AMX), and torch's library uses that."""
    asked = (getattr(torch.cpu, name, None) for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported'))
    return any(ask is not None and ask() for ask in asked) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def library_versions() -> dict[str, str]:
    """Versions of torch and of the libraries that it multiplies with, and the extensions that torch itself uses."""
    lines = [line.strip(' -') for line in torch.__config__.show().splitlines()]
    versions = {'torch': torch.__version__}
    for name, start in (('MKL', 'Intel(R) oneAPI Math Kernel Library'), ('oneDNN', 'Intel(R) MKL-DNN')):
        found = [line for line in lines if line.startswith(start)]
        if found:
            versions[name] = found[0].removeprefix(start).partition('for')[0].partition('(')[0].strip()
    return {**versions, 'instructions of torch': torch.backends.cpu.get_cpu_capability()}


def steering_variables() -> dict[str, str]:
    """The environment variables that are set of those by which a library leaves out instructions."""
    return {name: os.environ[name] for name in _STEERING if name in os.environ}


def _cpuinfo() -> dict[str, str]:
    """The lines of the first processor."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return {}
    pairs = (line.partition(':') for line in text.partition('\n\n')[0].splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}
