"""Finding and building the compiled kernels: one library for each type of device.

A library is looked for beside this file, where `setup.py` puts it with MMVITDENSE_BUILD_OPS=1, then in the cache, and
is else compiled into the cache. Each carries the key of what it was built from and for, and is loaded only where that
key is the right one. Imports nothing of this package: setup.py reads this file before there is one.
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

DEVICES = ('cpu', 'cuda')
CACHE_VARIABLE = 'MMVITDENSE_CACHE'
INSTALLED = Path(__file__).resolve().parent
SOURCES = INSTALLED / 'csrc'
_MARK = b'mmvitdense-build-key:'
_ARCHITECTURES = '7.5;8.0;8.6;9.0+PTX'
"""GPUs to compile for where none can be asked. Newer ones translate the PTX when it is loaded."""
_SUFFIXES = {'cpu': ('.cpp',), 'cuda': ('.cpp', '.cu')}


class UnavailableError(Exception):
    """There is no library for a device and none can be built; the message says why."""


def library(device: str) -> Path:
    """The library of `device` ('cpu' or 'cuda'), built now if there is none.

    Raises:
        UnavailableError: none can be had; the message says why.
    """
    if device not in DEVICES:
        raise UnavailableError(f'there are kernels for {" and ".join(DEVICES)} only')
    expected = key(device)
    installed = INSTALLED / f'_{device}.so'
    if installed.exists():
        found = key_of(installed)
        if found == expected:
            return installed
        warnings.warn(
            f'mmvitdense: {installed} is not used, it was built for {found}; here is {expected}. Install mmvitdense '
            'again, or delete that file.',
            stacklevel=2,
        )
    cached = cache_folder(device) / f'mmvitdense_{device}.so'
    if cached.exists() and key_of(cached) == expected:
        return cached
    _require_tools(device)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with _lock(cached.parent):
            # Another process may have built it while this one waited.
            if not (cached.exists() and key_of(cached) == expected):
                _compile(device, cached)
    except OSError as error:
        raise UnavailableError(
            f'{cached.parent} cannot be written: {error}; {CACHE_VARIABLE} names another place'
        ) from None
    return cached


def key(device: str) -> str:
    """What a library has to match: torch, its CUDA and C++ ABI, the platform, and our sources."""
    parts = [
        f'torch-{torch.__version__}',
        f'cuda-{torch.version.cuda}',
        f'abi-{int(torch._C._GLIBCXX_USE_CXX11_ABI)}',
        f'{platform.system()}-{platform.machine()}',
        f'sources-{_source_hash(device)}',
    ]
    return '/'.join(parts)


def key_of(path: Path) -> str:
    """The key that a library carries, read from the file without loading it."""
    _, mark, rest = path.read_bytes().partition(_MARK)
    return rest.partition(b';')[0].decode(errors='replace') if mark else 'an unknown torch'


def cache_root() -> Path:
    """The folder of what the package keeps between runs."""
    if root := os.environ.get(CACHE_VARIABLE):
        return Path(root)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmvitdense'


def cache_folder(device: str) -> Path:
    """The folder of the library of `device`: another one for each key, and on CUDA for each set of GPU types."""
    name = key(device)
    if device == 'cuda':
        name += os.environ.get('TORCH_CUDA_ARCH_LIST') or str(
            sorted({torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())})
        )
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return cache_root() / 'ops' / f'torch{torch.__version__}-{device}-{digest}'


def sources(device: str) -> list[Path]:
    """The files to compile for `device`, the one that takes longest first."""
    files = sorted(file for file in (SOURCES / device).iterdir() if file.suffix in _SUFFIXES[device])
    if device == 'cpu':
        # It includes register.cpp.
        return sorted(files, key=lambda file: file.name != 'library.cpp')
    return [SOURCES / 'register.cpp', *files]


def compile_options(device: str) -> dict[str, list[str]]:
    """Options for the C++ compiler and for nvcc."""
    # A '/' or '+' survives every shell; register.cpp makes a string of it.
    defines = [f'-DMMVITDENSE_DEVICE={device.upper()}', f'-DMMVITDENSE_NAMESPACE={device}']
    defines.append(f'-DMMVITDENSE_BUILD_KEY={key(device)}')
    cxx = ['-O3', '-g0', '-fvisibility=hidden', *defines]
    if device == 'cpu':
        # No option changes results: sums keep their order, and NaN and infinity their meaning.
        cxx += ['-fno-math-errno', '-fno-trapping-math', '-Wno-psabi']
        if _is_gcc():
            # OpenMP is not linked: torch's own libgomp serves, so that both share one pool of threads. Small copies
            # stay loops, which are faster than calls of memcpy.
            cxx += ['-fopenmp', '-fno-tree-loop-distribute-patterns']
    return {'cxx': cxx, 'nvcc': ['-O3', *defines]}


def cuda_toolkit() -> Path | None:
    """The folder of the CUDA toolkit, None where there is none with a compiler and its headers.

    It is the one that CUDA_HOME or CUDA_PATH names, else that of the nvcc on PATH, else /usr/local/cuda. torch takes
    the folder above the nvcc on PATH, and finds no headers where that is a script which calls another: the compiler
    itself says where it lies.
    """
    if given := os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH'):
        return Path(given) if _is_toolkit(Path(given)) else None
    nvcc = shutil.which('nvcc')
    of_path = [_home_of(nvcc), Path(nvcc).parents[1]] if nvcc else []
    return next(
        (Path(folder) for folder in (*of_path, '/usr/local/cuda') if folder and _is_toolkit(Path(folder))), None
    )


def extension_modules() -> list:
    """For setup.py: the libraries to compile ahead of time, CUDA's where nvcc and a torch with CUDA are found."""
    from torch.utils import cpp_extension
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    devices = {'cpu': CppExtension}
    toolkit = cuda_toolkit()
    if toolkit is not None and torch.version.cuda is not None and sources('cuda')[1:]:
        cpp_extension.CUDA_HOME = str(toolkit)
        devices['cuda'] = CUDAExtension
        if not torch.cuda.is_available():
            os.environ.setdefault('TORCH_CUDA_ARCH_LIST', _ARCHITECTURES)
    root = SOURCES.parents[2]
    return [
        make(
            f'mmvitdense.ops._{device}',
            [str(file.relative_to(root)) for file in sources(device)],
            extra_compile_args=compile_options(device),
        )
        for device, make in devices.items()
    ]


@functools.cache
def _source_hash(device: str) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    files = [file for file in SOURCES.glob('*') if file.is_file()] + list((SOURCES / device).glob('*'))
    for file in sorted(files):
        digest.update(file.name.encode() + b'\0' + file.read_bytes() + b'\0')
    return digest.hexdigest()[:16]


def _compiler() -> str:
    return os.environ.get('CXX', 'c++')


@functools.cache
def _is_gcc() -> bool:
    try:
        answer = subprocess.run(
            [*_compiler().split(), '--version'], capture_output=True, text=True, errors='replace', check=False
        )
    except OSError:
        return False
    return 'Free Software Foundation' in answer.stdout


def _require_tools(device: str) -> None:
    if os.name != 'posix':
        raise UnavailableError('kernels are built on Linux and macOS only')
    compiler = _compiler().split()[0]
    if shutil.which(compiler) is None:
        raise UnavailableError(f'there is no C++ compiler ({compiler}); install g++')
    if shutil.which('ninja') is None and not _ninja_of_environment():
        raise UnavailableError('ninja is missing; run `pip install ninja`')
    if device == 'cuda' and cuda_toolkit() is None:
        given = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH')
        raise UnavailableError(
            f'there is no nvcc with its headers (CUDA_HOME is {given}); install the CUDA toolkit {torch.version.cuda} '
            'or set CUDA_HOME to its folder'
        )
    if device == 'cuda' and not (os.environ.get('TORCH_CUDA_ARCH_LIST') or torch.cuda.is_available()):
        raise UnavailableError(
            'torch sees no GPU to compile for; TORCH_CUDA_ARCH_LIST names types of other machines, as in '
            f"'{_ARCHITECTURES}'"
        )


def _is_toolkit(folder: Path) -> bool:
    compiler = shutil.which(str(folder / 'bin' / 'nvcc'))
    return compiler is not None and (folder / 'include' / 'cuda_runtime_api.h').exists()


def _home_of(nvcc: str) -> str | None:
    """The folder that an nvcc, or what a script of that name calls, takes for its toolkit."""
    command = [nvcc, '--dryrun', '-x', 'cu', '-c', os.devnull, '-o', os.devnull]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors='replace', check=False, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'^#\$ TOP=(.+)$', answer.stderr, re.MULTILINE)
    return os.path.realpath(found[1].strip()) if found else None


def _ninja_of_environment() -> bool:
    """Whether the ninja of this Python is there though its folder is not on PATH; if so, put it there."""
    folder = Path(sys.executable).parent
    if not (folder / 'ninja').exists():
        return False
    os.environ['PATH'] = os.pathsep.join((str(folder), os.environ.get('PATH', '')))
    return True


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One process at a time. The system gives the lock back when its holder dies."""
    import fcntl

    with (folder / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(device: str, target: Path) -> None:
    """Compile in a folder of its own, and put the whole library in place at once."""
    from torch.utils import cpp_extension

    print(f'mmvitdense: compiling the kernels for {device} once, into {target.parent}', file=sys.stderr, flush=True)
    options = compile_options(device)
    if device == 'cuda':
        cpp_extension.CUDA_HOME = str(cuda_toolkit())
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            cpp_extension.load(
                target.stem,
                [str(file) for file in sources(device)],
                extra_cflags=options['cxx'],
                extra_cuda_cflags=options['nvcc'],
                build_directory=folder,
                with_cuda=device == 'cuda',
                is_python_module=False,
            )
        except (RuntimeError, ImportError, OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(f'compiling failed: {error}') from error
        os.replace(Path(folder) / target.name, target)
