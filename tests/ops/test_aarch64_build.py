"""The CPU kernels compile for 64-bit Arm, and the compiler's vectoriser makes NEON of their loops.

What they compute there is not tested: a compiler that writes for that processor is a package away
(`apt-get install g++-aarch64-linux-gnu`), the processor is not.
"""

import re
import shutil
import subprocess

import pytest

from mmvitdense.ops import building

COMPILER = shutil.which('aarch64-linux-gnu-g++')
OF_OTHERS = ('kernels_avx2.cpp', 'kernels_avx512.cpp', 'map_attention_avx512.cpp', 'map_attention_bfloat16.cpp')
WITHOUT_TORCH = ('kernels_baseline.cpp', *OF_OTHERS, 'dispatch.cpp')

pytestmark = pytest.mark.skipif(
    COMPILER is None, reason='no aarch64-linux-gnu-g++: apt-get install g++-aarch64-linux-gnu'
)


@pytest.fixture(scope='module')
def assembly(tmp_path_factory):
    """{file: what it is in assembly}, with the options of a build but those for the size of its code."""
    folder = tmp_path_factory.mktemp('aarch64')
    options = [option for option in building.compile_options('cpu')['cxx'] if option != '-g0']
    found = {}
    for file in building.sources('cpu'):
        if file.name in WITHOUT_TORCH:
            target = folder / file.with_suffix('.s').name
            command = [COMPILER, '-std=c++17', '-fPIC', *options, '-S', '-o', target, file]
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            found[file.name] = target.read_text()
    return found


def test_the_kernels_use_vectors(assembly):
    """Fused multiply-adds of four numbers in float32, of two in float64."""
    baseline = assembly['kernels_baseline.cpp']
    for instruction in (r'fml[as]\s+v\d+\.4s', r'fml[as]\s+v\d+\.2d'):
        assert re.search(instruction, baseline), instruction


def test_kernels_of_other_processors_are_empty(assembly):
    for name in OF_OTHERS:
        assert '.globl' not in assembly[name].replace('.global', '.globl')
    assert len(assembly) == len(WITHOUT_TORCH)
