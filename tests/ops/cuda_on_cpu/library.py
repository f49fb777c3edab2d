"""Building and loading the emulation: the CUDA sources of the project, translated, as libraries for the CPU.

What is compiled lies in the cache of the project, each object and library under a hash of what it was made from.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils import cpp_extension

from mmvitdense import ops
from mmvitdense.ops import backends, building

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from translation import operators, translate  # noqa: E402

COMMON = ('-g0', '-fPIC', '-fvisibility=hidden', '-fno-gnu-unique')
KERNELS = ('-x', 'c++', '-std=c++17', '-O1', '-fno-strict-aliasing', '-Wno-unknown-pragmas', '-Wno-attributes')
ORDERS = ('forward', 'backward', 'shuffled')


@dataclass(frozen=True)
class Flavour:
    """One way to compile the kernels.

    Attributes:
        architecture: What `__CUDA_ARCH__` is.
        options: Of the compiler.
        kernel_options: Of the compiler, for the kernels alone.
        watched: Whether what the kernels do to memory is counted and searched for races.
        edits: (file, old, new): texts of the kernels that are replaced.
    """

    architecture: int = 900
    options: tuple[str, ...] = ()
    kernel_options: tuple[str, ...] = ()
    watched: bool = False
    edits: tuple[tuple[str, str, str], ...] = ()


# A call before each access to memory.
WATCHED = ('-DCUDA_ON_CPU_WATCH',)
WATCHED_KERNELS = ('-fsanitize=thread', '--param', 'tsan-instrument-func-entry-exit=0')
# As on a GPU, where places in the program are those of the kernel.
INLINED = ('-DCUDA_ON_CPU_INLINE',)
# Calls instead of checks, traps instead of messages and no optimisation: compiled in a tenth of the time.
SANITIZED = (
    '-O0',
    '-fsanitize=address,undefined',
    '-fsanitize-undefined-trap-on-error',
    *('--param', 'asan-instrumentation-with-call-threshold=0'),
)
# What is left out compiles sooner: types take the way of another type and must not be used.
DOUBLE_AND_HALF = (
    ('cuda/dispatch.h', 'with_layout<double', 'with_layout<float'),
    ('cuda/dispatch.h', 'with_layout<__half', 'with_layout<__nv_bfloat16'),
)
BFLOAT16 = (('cuda/dispatch.h', 'with_layout<__nv_bfloat16', 'with_layout<__half'),)
# Kernels that are wrong where the emulation is asked for it by the number of a fault.
FAULTS = (
    (
        'cuda/samples.cuh',
        '__shfl_xor_sync(kWholeWarp, x, i, G)',
        '__shfl_xor_sync(::cuda_on_cpu::fault == 1 ? 0x0fffffffu : kWholeWarp, x, i, G)',
    ),
    ('ms_deform_attn.h', 's.x0 + 1 < width', 's.x0 + (::cuda_on_cpu::fault != 2) < width'),
    (
        'cuda/numbers.cuh',
        '{ atomicAdd(address, x); }',
        '{ ::cuda_on_cpu::fault == 3 ? *address += x : atomicAdd(address, x); }',
    ),
)
# Groups of sixteen lanes, which no problem of sanitized.py has.
SIXTEEN_LANES = ('cuda/dispatch.h', 'Layout<T, V, 16>', 'Layout<T, V, 32>')
# A grid of few rows, so that blocks go on to the next heads and images.
FEW_ROWS = ('cuda/samples.cuh', '65535', '3')

FLAVOURS = {
    'sm_90': Flavour(900, edits=BFLOAT16),
    'all_types': Flavour(900),
    'sm_80': Flavour(800, WATCHED, WATCHED_KERNELS, watched=True, edits=(*DOUBLE_AND_HALF, FEW_ROWS, *FAULTS)),
    'sanitized': Flavour(900, SANITIZED, edits=(*DOUBLE_AND_HALF, *FAULTS, SIXTEEN_LANES)),
    'counted_sm_80': Flavour(800, WATCHED, (*WATCHED_KERNELS, *INLINED), watched=True),
    'counted_sm_90': Flavour(900, WATCHED, (*WATCHED_KERNELS, *INLINED), watched=True),
}
# Those that the tests of the kernels run on, and the types that each has kernels for. The two types of 16 bits take
# the same way through the kernels.
TESTED = {
    'sm_80': (torch.float32, torch.bfloat16),
    'sm_90': (torch.float64, torch.float32, torch.float16),
}


class UnavailableError(Exception):
    """The emulation cannot be built here; the message says why."""


@functools.cache
def load(name: str) -> object:
    """The operators of a flavour, as `torch.ops.<namespace>`, built first where they are not yet.

    Raises:
        UnavailableError: there is no compiler.
    """
    return load_library(build(FLAVOURS[name]), f'cuda_on_cpu_{name}')


def load_library(path: Path, namespace: str) -> object:
    """The operators of a library, in a namespace that has none yet."""
    library = ctypes.CDLL(str(path))
    library.cuda_on_cpu_register(namespace.encode())
    library.cuda_on_cpu_set_order.argtypes = (ctypes.c_int, ctypes.c_uint64)
    found = getattr(torch.ops, namespace)
    found.library = library
    return found


def load_kernels(source: Path) -> ctypes.CDLL:
    """A file of kernels that is no part of the project, with functions to call by ctypes."""
    flavour = Flavour(900)
    units = [_Planted(flavour, source), *(_Threads(flavour, name) for name in ('threads.cpp', 'memory.cpp'))]
    return ctypes.CDLL(str(_build(units, [])))


def set_order(operators: object, order: str, seed: int = 0) -> None:
    """In which order blocks, warps and lanes run: 'forward', 'backward' or 'shuffled', drawn anew for each block."""
    operators.library.cuda_on_cpu_set_order(ORDERS.index(order), seed)


@contextlib.contextmanager
def used(library: object, order: str = 'shuffled', seed: int = 0) -> Iterator[None]:
    """In this context the ops of the project compute with the emulation what lies on the CPU."""
    set_order(library, order, seed)
    state, choice = backends._state.copy(), backends.chosen()
    with torch.library._scoped_library('mmvitdense', 'IMPL') as implementations:
        for name in operators(_source('register.cpp')):
            implementations.impl(name, getattr(library, name).default, 'CPU')
        backends._state['cpu'] = None
        ops.set_backend('compiled')
        try:
            yield
        finally:
            ops.set_backend(choice)
            backends._state.clear()
            backends._state.update(state)


def build(flavour: Flavour) -> Path:
    """The library of a flavour. Raises `UnavailableError` where there is no compiler."""
    # The longest first.
    units = [file for file in building.sources('cuda') if file.suffix == '.cu']
    units = [_Kernels(flavour, unit.name) for unit in sorted(units, key=lambda unit: -unit.stat().st_size)]
    units[1:1] = [_Host()]
    names = ('threads.cpp', 'memory.cpp', 'watching.cpp')
    units += [_Threads(flavour, name) for name in names if name != 'watching.cpp' or flavour.watched]
    libraries = ['-L' + path for path in cpp_extension.library_paths()]
    return _build(units, [*flavour.options, *libraries, '-lc10', '-ltorch_cpu', '-ltorch'])


def _build(units: list, options: list[str]) -> Path:
    if os.name != 'posix' or not building._is_gcc():
        raise UnavailableError(f'the emulation is compiled by g++, and {building._compiler()!r} is none')
    folder = building.cache_root() / 'tests' / 'cuda_on_cpu'
    folder.mkdir(parents=True, exist_ok=True)
    with building._lock(folder), ThreadPoolExecutor(2) as pool:
        objects = [str(path) for path in pool.map(lambda unit: unit.compile(folder), units)]
        target = folder / f'{hashlib.sha256(chr(0).join((*objects, *options)).encode()).hexdigest()[:16]}.so'
        if not target.exists():
            _compile(['-shared', *objects, *options], target)
    return target


class _Unit:
    """One object file, in a folder with the translated sources that it includes."""

    options: tuple[str, ...] = ()

    def texts(self) -> dict[str, str]:
        raise NotImplementedError

    def compile(self, folder: Path) -> Path:
        texts = self.texts()
        content = '\0'.join((*self.options, _compiler_version(), *(item for pair in texts.items() for item in pair)))
        content += '\0'.join(file.read_text() for file in sorted(HERE.glob('include/**/*.h')))
        target = folder / f'{hashlib.sha256(content.encode()).hexdigest()[:16]}.o'
        if not target.exists():
            sources = target.with_suffix('.sources')
            for name, text in texts.items():
                (sources / name).parent.mkdir(parents=True, exist_ok=True)
                (sources / name).write_text(text)
            (main, *_) = texts
            include = ('-I', str(HERE / 'include'), '-I', str(sources))
            _compile([*COMMON, *include, *self.options, '-c', str(sources / main)], target)
            shutil.rmtree(sources)
        return target


class _Kernels(_Unit):
    def __init__(self, flavour: Flavour, name: str):
        self.flavour, self.name = flavour, f'cuda/{name}'
        self.options = (*KERNELS, '-D__CUDACC__', f'-D__CUDA_ARCH__={flavour.architecture}')
        self.options += (*flavour.options, *flavour.kernel_options)

    def texts(self) -> dict[str, str]:
        names = [str(file.relative_to(building.SOURCES)) for file in building.SOURCES.glob('cuda/*.*h')]
        headers = [file.name for file in building.SOURCES.glob('*.h')]
        texts = {name: self._edited(name) for name in (self.name, *sorted(names), *sorted(headers))}
        texts = {name: translate(text, name) for name, text in texts.items()}
        texts[self.name] = '#include "cuda_ptx.h"\n' + texts[self.name]
        return texts

    def _edited(self, name: str) -> str:
        text = _source(name)
        for file, old, new in self.flavour.edits:
            if file == name:
                assert old in text, f'{old!r} is not in {file}; what takes its place there?'
                text = text.replace(old, new)
        return text


class _Planted(_Kernels):
    def __init__(self, flavour: Flavour, source: Path):
        super().__init__(flavour, source.name)
        self.source = source

    def texts(self) -> dict[str, str]:
        return {self.source.name: '#include "cuda_ptx.h"\n' + translate(self.source.read_text(), self.source.name)}


class _Host(_Unit):
    def __init__(self):
        defines = ('-DMMVITDENSE_DEVICE=CUDA', '-DMMVITDENSE_NAMESPACE=cuda', '-DMMVITDENSE_BUILD_KEY=cuda_on_cpu')
        folders = [item for path in cpp_extension.include_paths() for item in ('-isystem', path)]
        self.options = ('-std=c++20', '-O0', *defines, *folders, f'-DTORCH_IS={torch.__version__}')

    def texts(self) -> dict[str, str]:
        files = [
            *building.SOURCES.glob('*.*'),
            *building.SOURCES.glob('cuda/*.h'),
            *building.SOURCES.glob('cuda/*.cpp'),
        ]
        names = sorted(str(file.relative_to(building.SOURCES)) for file in files)
        return {
            'host.cpp': (HERE / 'host.cpp').read_text(),
            **{name: translate(_source(name), name) for name in names},
        }


class _Threads(_Unit):
    def __init__(self, flavour: Flavour, name: str):
        self.name = name
        self.options = ('-std=c++17', '-O2', f'-D__CUDA_ARCH__={flavour.architecture}', *flavour.options)

    def texts(self) -> dict[str, str]:
        return {self.name: (HERE / self.name).read_text(), 'memory.h': (HERE / 'memory.h').read_text()}


def _source(name: str) -> str:
    return (building.SOURCES / name).read_text(encoding='utf-8')


def of_compiler(*names: str) -> list[str]:
    """Where the compiler has libraries. Raises `UnavailableError` where it lacks one."""
    found = []
    for name in names:
        command = [*building._compiler().split(), f'-print-file-name={name}']
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if not os.path.isabs(answer):
            raise UnavailableError(f'the compiler has no {name}')
        found.append(os.path.realpath(answer))
    return found


@functools.cache
def _compiler_version() -> str:
    return subprocess.run([*building._compiler().split(), '--version'], capture_output=True, text=True).stdout


def _compile(arguments: list[str], target: Path) -> None:
    """Put the whole file in place at once."""
    part = target.with_name(f'{target.name}.{os.getpid()}')
    command = [*building._compiler().split(), *arguments, '-o', str(part)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)}\n{done.stderr}')
    os.replace(part, target)
