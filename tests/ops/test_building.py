"""Where the compiled kernels come from, and what happens where there are none."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from problems import make

from mmvitdense import ops
from mmvitdense.ops import backends, building, reference


@pytest.fixture
def empty_cache(monkeypatch, tmp_path) -> Path:
    """An empty cache, and a process that has not looked for kernels yet."""
    monkeypatch.setenv(building.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(backends, '_state', {})
    ops.set_backend('auto')
    return tmp_path


@pytest.fixture
def built(compiled) -> Path:
    """The library that this machine has."""
    if compiled != 'cpu':
        pytest.skip('one library is enough')
    return building.library('cpu')


def foreign(library: Path) -> bytes:
    """The library as one of another torch would look."""
    key = building.key('cpu').encode()
    other = key.replace(b'torch-', b'TORCH-')
    assert library.read_bytes().count(key) == 1
    return library.read_bytes().replace(key, other)


def start(script: str, cache: Path, **variables: str) -> subprocess.Popen:
    environment = {**os.environ, building.CACHE_VARIABLE: str(cache), **variables}
    environment.pop(backends.VARIABLE, None)
    return subprocess.Popen(
        [sys.executable, '-c', script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_build_once(built, tmp_path):
    """Of a source that holds the key alone: the whole takes twenty seconds, and `built` is that."""
    source = tmp_path / 'key.cpp'
    source.write_text(
        '#define TEXT_(x) #x\n#define TEXT(x) TEXT_(x)\n'
        'extern "C" __attribute__((used)) const char key[] = "mmvitdense-build-key:" TEXT(MMVITDENSE_BUILD_KEY) ";";\n'
    )
    script = (
        'from pathlib import Path; from mmvitdense.ops import building\n'
        f'building.sources = lambda device: [Path({str(source)!r})]\n'
        "print(building.key_of(building.library('cpu')) == building.key('cpu'))\n"
    )
    processes = [start(script, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [out.strip() for out, _ in outputs] == ['True', 'True'], outputs
    assert sum('compiling the kernels' in error for _, error in outputs) == 1
    (folder,) = (tmp_path / 'ops').iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ['lock', 'mmvitdense_cpu.so']


def test_import_builds_nothing(bare_python, tmp_path):
    script = (
        'import sys, mmvitdense.ops\n'
        "assert 'torch.utils.cpp_extension' not in sys.modules\n"
        "assert not any('mmvitdense' in str(path) for path in mmvitdense.ops.schemas.torch.ops.loaded_libraries)\n"
    )
    done = bare_python.run(['-c', script], variables={building.CACHE_VARIABLE: str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, '')
    assert not list(tmp_path.iterdir())


def test_key_tells_torch_and_sources(monkeypatch):
    key = building.key('cpu')
    assert f'torch-{torch.__version__}/' in key
    monkeypatch.setattr(torch, '__version__', '2.4.0')
    assert building.key('cpu') != key
    assert building.cache_folder('cpu').name.startswith('torch2.4.0-cpu-')


def test_library_beside_the_package_comes_first(built, empty_cache, monkeypatch, tmp_path):
    installed = tmp_path / 'package'
    installed.mkdir()
    (installed / '_cpu.so').write_bytes(built.read_bytes())
    monkeypatch.setattr(building, 'INSTALLED', installed)
    assert building.library('cpu') == installed / '_cpu.so'


def test_library_of_another_torch_is_refused(built, empty_cache, monkeypatch):
    folder = building.cache_folder('cpu')
    folder.mkdir(parents=True)
    (folder / built.name).write_bytes(built.read_bytes())
    installed = empty_cache / 'package'
    installed.mkdir()
    (installed / '_cpu.so').write_bytes(foreign(built))
    monkeypatch.setattr(building, 'INSTALLED', installed)
    with pytest.warns(UserWarning, match=r'_cpu.so is not used, it was built for TORCH-.*here is torch-'):
        assert building.library('cpu') == folder / built.name


def test_cached_library_of_another_torch_is_replaced(built, empty_cache, monkeypatch):
    """Also one that some other program wrote, or half a file."""
    folder = building.cache_folder('cpu')
    folder.mkdir(parents=True)
    calls = []

    def compile_(device, target):
        calls.append(device)
        target.write_bytes(built.read_bytes())

    monkeypatch.setattr(building, '_compile', compile_)
    for content in (foreign(built), b'', built.read_bytes()[:1000]):
        (folder / built.name).write_bytes(content)
        assert building.key_of(building.library('cpu')) == building.key('cpu')
    assert calls == ['cpu'] * 3


def assert_reference_with_one_warning(match):
    problem = make()
    with pytest.warns(UserWarning, match=match) as caught:
        output = ops.ms_deform_attn(*problem.classic)
    assert len(caught) == 1
    torch.testing.assert_close(output, reference.ms_deform_attn(*problem.classic))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert ops.backend() == 'reference'
        ops.ms_deform_attn_fused(*problem.fused)


def test_no_compiler(empty_cache, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    assert_reference_with_one_warning('there is no C\\+\\+ compiler \\(no-such-compiler\\)')


def test_no_ninja(empty_cache, monkeypatch):
    find = building.shutil.which
    monkeypatch.setattr(building.shutil, 'which', lambda name: None if name == 'ninja' else find(name))
    monkeypatch.setattr(building, '_ninja_of_environment', lambda: False)
    monkeypatch.setenv('CXX', sys.executable)
    assert_reference_with_one_warning('pip install ninja')


def test_no_gpu_to_compile_for(empty_cache, monkeypatch):
    """Though nvcc is there."""
    monkeypatch.setattr(building, 'cuda_toolkit', lambda: empty_cache)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.delenv('TORCH_CUDA_ARCH_LIST', raising=False)
    with pytest.raises(building.UnavailableError, match='no GPU to compile for; TORCH_CUDA_ARCH_LIST'):
        building.library('cuda')
    monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', '9.0')
    building._require_tools('cuda')


def test_sources_that_do_not_compile(built, empty_cache, monkeypatch):
    broken = empty_cache / 'broken.cpp'
    broken.write_text('#error no such luck\n')
    monkeypatch.setattr(building, 'sources', lambda device: [broken])
    assert_reference_with_one_warning('compiling failed(.|\n)*no such luck')
    assert not list(building.cache_folder('cpu').glob('*.so'))


def test_cache_that_cannot_be_written(built, empty_cache, monkeypatch):
    (empty_cache / 'file').write_text('')
    monkeypatch.setenv(building.CACHE_VARIABLE, str(empty_cache / 'file'))
    assert_reference_with_one_warning(f'cannot be written.*{building.CACHE_VARIABLE}')


def test_compiled_is_insisted_on(empty_cache, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    ops.set_backend('compiled')
    with pytest.raises(RuntimeError, match="backend 'compiled' was asked for.*no-such-compiler"):
        ops.ms_deform_attn(*make().classic)


def test_reference_builds_nothing(empty_cache):
    ops.set_backend('reference')
    assert ops.backend() == 'reference'
    ops.ms_deform_attn(*make().classic)
    assert not list(empty_cache.iterdir())


def test_unknown_backend():
    with pytest.raises(ValueError, match="'fast'; expected 'auto', 'compiled' or 'reference'"):
        ops.set_backend('fast')


def test_unknown_backend_in_the_environment(bare_python):
    script = "from mmvitdense import ops; print(ops.backend('cpu'))"
    done = bare_python.run(['-c', script], variables={backends.VARIABLE: 'fast'})
    assert "ValueError: the ops backend is 'fast'" in done.stderr


def test_other_devices_use_the_reference(empty_cache):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for device in ('meta', 'mps'):  # Apple's GPUs
            assert ops.backend(device) == 'reference'
