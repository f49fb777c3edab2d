"""The CUDA sources compile wherever nvcc is, with a GPU or without. What they compute: test_cuda_kernels.py."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from mmvitdense.ops import building

KERNELS = [file.name for file in building.sources('cuda') if file.suffix == '.cu']
HOST_CODE = [file.name for file in building.sources('cuda') if file.suffix == '.cpp']


@pytest.fixture(scope='module')
def toolkit() -> Path:
    """The folder of the CUDA toolkit."""
    if folder := building.cuda_toolkit():
        return folder.resolve()
    pytest.skip('no CUDA toolkit: neither CUDA_HOME nor PATH nor /usr/local/cuda has nvcc and its headers')


def run_compiler(command: list, name: str) -> None:
    (source,) = (file for file in building.sources('cuda') if file.name == name)
    done = subprocess.run([*map(str, command), source], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr


def _toolkit_at(folder: Path) -> Path:
    """What looks like one: its nvcc says where it lies, as the real one does."""
    (folder / 'bin').mkdir(parents=True)
    (folder / 'include').mkdir()
    (folder / 'include' / 'cuda_runtime_api.h').touch()
    nvcc = folder / 'bin' / 'nvcc'
    nvcc.write_text(f'#!/bin/sh\necho "#$ _HERE_={folder}/bin" >&2\necho "#$ TOP={folder}/bin/.." >&2\n')
    nvcc.chmod(0o755)
    return folder


def test_the_toolkit_behind_a_script(tmp_path, monkeypatch):
    """The folder above the nvcc on PATH has no headers; CUDA_HOME wins, and is not passed over where it is wrong."""
    real, other = _toolkit_at(tmp_path / 'real'), _toolkit_at(tmp_path / 'other')
    wrapper = tmp_path / 'local' / 'bin' / 'nvcc'
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(f'#!/bin/sh\nexec {real}/bin/nvcc "$@"\n')
    wrapper.chmod(0o755)
    for name in ('CUDA_HOME', 'CUDA_PATH'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('PATH', os.pathsep.join((str(wrapper.parent), os.environ['PATH'])))
    assert building.cuda_toolkit() == real
    monkeypatch.setenv('CUDA_HOME', str(other))
    assert building.cuda_toolkit() == other
    monkeypatch.setenv('CUDA_HOME', str(tmp_path / 'local'))
    assert building.cuda_toolkit() is None
    with pytest.raises(building.UnavailableError, match=f'no nvcc with its headers .CUDA_HOME is {tmp_path}/local'):
        building._require_tools('cuda')


def test_there_are_sources():
    assert {'forward.cu', 'backward.cu', 'records.cu', 'deterministic.cu'} <= set(KERNELS)
    assert set(HOST_CODE) == {'register.cpp', 'ms_deform_attn.cpp'}


@pytest.mark.parametrize('name', KERNELS)
def test_kernels(toolkit, tmp_path, name):
    """To PTX, for which the whole file is checked, for one architecture, the first with vector reductions, and without
    optimisation, which finds no mistakes.
    """
    options = [*cpp_extension.COMMON_NVCC_FLAGS, *building.compile_options('cuda')['nvcc'], '-Xcicc', '-O0', '-ptx']
    target = tmp_path / 'kernels.ptx'
    run_compiler([toolkit / 'bin' / 'nvcc', '-arch=sm_90', '-std=c++17', *options, '-o', target], name)
    assert target.read_text().count('.entry') >= 1


@pytest.mark.parametrize('name', HOST_CODE)
def test_host_code(toolkit, name):
    """Its code is checked and not written."""
    if torch.version.cuda is None:
        pytest.skip('this torch was built without CUDA and lacks the headers')
    # The parameter is called `cuda` before torch 2.6 and takes any true value.
    folders = [*cpp_extension.include_paths('cuda'), toolkit / 'include']
    includes = [item for folder in folders for item in ('-isystem', folder)]
    options = [*building.compile_options('cuda')['cxx'], '-std=c++20', '-fPIC', '-fsyntax-only']
    run_compiler([os.environ.get('CXX', 'c++'), *includes, *options], name)
