import importlib
import os
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
import torch

import mmvitdense
from mmvitdense.compat import install, stand_in, status

ROOT = Path(mmvitdense.__file__).parents[1]


def python(code: str, *path: Path) -> str:
    """What a new Python process prints; `path` comes first on its sys.path."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, (*path, ROOT)))}
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def write(path: Path, text: str = '') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_installing_imports_nothing_heavy_and_changes_nothing_twice():
    output = python("""
        import sys
        import mmvitdense
        before = list(sys.meta_path)
        mmvitdense.compat.install()
        assert sys.meta_path == before
        heavy = {'torch', 'torchvision', 'numpy', 'mmcv', 'mmcv.ops', 'mmengine', 'mmdet', 'mmseg'}
        print(sorted(heavy & set(sys.modules)))
    """)
    assert output == '[]'


def test_compiled_mmcv_is_left_alone(tmp_path):
    write(tmp_path / 'mmcv' / '__init__.py')
    write(tmp_path / 'mmcv' / '_ext.py', "nms = 'compiled'")
    code = """
        import mmvitdense
        import mmcv._ext
        print(mmcv._ext.nms, hasattr(mmcv._ext, 'softnms'), mmvitdense.compat.status())
    """
    assert python(code, tmp_path) == f'compiled False compiled mmcv ({tmp_path / "mmcv" / "_ext.py"})'


def test_mmcv_without_extension_gets_the_stand_in(tmp_path):
    write(tmp_path / 'mmcv' / '__init__.py')
    code = """
        import importlib.util
        import mmvitdense
        assert importlib.util.find_spec('mmcv._ext') is not None
        from mmcv import _ext
        import mmcv._ext as module
        assert module is _ext and _ext.__spec__.name == 'mmcv._ext'
        print(callable(_ext.nms), callable(_ext.anything), hasattr(_ext, '__path__'))
        print(mmvitdense.compat.status())
    """
    assert python(code, tmp_path).split('\n') == [
        'True True False',
        'stand-in of mmvitdense.compat (mmcv has no compiled ops)',
    ]


def test_status_without_mmcv(monkeypatch):
    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.delitem(sys.modules, 'mmcv', raising=False)
    assert status() == 'mmcv is not installed'


def test_every_covered_function_exists():
    for file, names in stand_in.COVERED.items():
        module = importlib.import_module(f'mmvitdense.compat.{file}')
        for name in names:
            assert callable(getattr(module, name))


def test_libraries_are_importable():
    install()
    for name in ('mmcv.ops', 'mmdet.models', 'mmseg.models'):
        importlib.import_module(name)
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version
    from mmcv.utils import ext_loader

    if hasattr(__import__('pkgutil'), 'find_loader'):
        assert ext_loader.check_ops_exist()
    assert isinstance(get_compiler_version(), str)
    assert isinstance(get_compiling_cuda_version(), str)


def test_uncovered_op_says_what_to_do():
    if stand_in.compiled_extension() is not None:
        pytest.skip('a compiled mmcv serves mmcv.ops here')
    from mmcv.ops import box_iou_rotated

    with pytest.raises(NotImplementedError, match=r'^Run "pip .*: box_iou_rotated is a compiled op of mmcv that'):
        box_iou_rotated(torch.rand(2, 5), torch.rand(2, 5))


@pytest.mark.parametrize('line', ['onedl-mmcv', 'mmcv-lite'])
def test_advice_for_an_uncovered_op_is_short(monkeypatch, line):
    monkeypatch.setattr(stand_in, '_is_distribution', lambda name: name == line)
    message = stand_in._uncovered('furthest_point_sampling_with_dist_forward')
    assert message.startswith('Run "pip ')
    assert ('mmcv==2.1.0' in message) == (line == 'mmcv-lite')
    assert len(message) < 300


@pytest.mark.parametrize(('version', 'expected'), [('4.57.1', 'True'), ('5.0.0', 'False'), ('12.0', 'False')])
def test_mmpretrain_beside_a_newer_transformers(tmp_path, version, expected):
    write(tmp_path / 'mmpretrain' / '__init__.py')
    write(tmp_path / 'mmpretrain' / 'utils' / '__init__.py')
    write(tmp_path / 'mmpretrain' / 'utils' / 'dependency.py', 'WITH_MULTIMODAL = True')
    metadata = f'Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n'
    write(tmp_path / f'transformers-{version}.dist-info' / 'METADATA', metadata)
    code = """
        import mmvitdense
        from mmpretrain.utils.dependency import WITH_MULTIMODAL
        print(WITH_MULTIMODAL)
    """
    assert python(code, tmp_path) == expected


def test_hook_on_a_module_that_is_already_imported(monkeypatch):
    from mmvitdense.compat.import_hooks import after_import

    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    seen = []
    after_import('mmvitdense.compat.stand_in', seen.append)
    after_import('mmvitdense.compat.stand_in', seen.append)
    assert seen == [stand_in]


@pytest.mark.skipif(stand_in.compiled_extension() is not None, reason='a compiled mmcv has its ops at every import')
def test_mmdet_that_was_imported_first_gets_the_ops():
    """Sorted imports have mmdet before mmvitdense; some versions then keep a function that raises."""
    from mmcv.ops import roi_align

    modules = {name: types.ModuleType(name) for name in ('mmdet', 'mmdet.structures.mask.structures')}
    stand_in.serve_late(modules)
    assert modules['mmdet.structures.mask.structures'].roi_align is roi_align
    with pytest.warns(UserWarning, match='import mmvitdense first'):
        stand_in.serve_late({'mmseg.models': types.ModuleType('mmseg.models')})
