"""The package as a whole: what an import costs, which room may know which, and a missing OpenMMLab."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_python(code, *options):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run([sys.executable, *options, '-c', code], capture_output=True, text=True, env=environment)


def imported_by(code):
    """Names of all modules that a fresh interpreter imports."""
    result = run_python(code, '-X', 'importtime')
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith('import time:')]
    return {line.rpartition('|')[2].strip() for line in lines}


def test_the_import_is_light():
    """Beyond mmengine and the standard library nothing but the package itself is imported."""
    new = imported_by('import mmvitdense') - imported_by('import mmengine')
    assert 'mmvitdense' in new
    assert {name.split('.')[0] for name in new} - set(sys.stdlib_module_names) == {'mmvitdense'}
    assert not [name for name in new if name.startswith(('mmvitdense.models', 'mmvitdense.ops', 'mmvitdense.layers'))]


def test_backbones_need_no_library_beside_mmengine(bare_python):
    """One import makes the names known to mmengine; looking them up brings in neither mmcv, mmdet nor mmseg.

    transformers is not among these: mmengine itself imports it where it is installed.
    """
    code = (
        'import sys, mmvitdense\n'
        'from mmengine.registry import DATA_SAMPLERS, HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, WEIGHT_INITIALIZERS\n'
        'for registry, name in (\n'
        '    (MODELS, "PlainViT"),\n'
        '    (MODELS, "SimpleFeaturePyramid"),\n'
        '    (MODELS, "LayerNorm2d"),\n'
        '    (WEIGHT_INITIALIZERS, "ViTPretrained"),\n'
        '    (DATA_SAMPLERS, "RepeatFactorSampler"),\n'
        '    (HOOKS, "ClassCountsHook"),\n'
        '    (OPTIM_WRAPPER_CONSTRUCTORS, "LayerDecayOptimWrapperConstructor"),\n'
        '):\n'
        '    assert registry.get(f"mmvitdense.{name}").__name__ == name\n'
        'print({"mmcv", "mmdet", "mmseg", "timm", "matplotlib"} & set(sys.modules))'
    )
    result = bare_python.run(['-c', code])
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == 'set()'


def test_init_cfg_works_before_anything_is_looked_up(bare_python, tmp_path):
    """mmengine finds the type in its own registry, whoever imported the model and however."""
    path = tmp_path / 'vit.pth'
    code = (
        'import torch\n'
        'from mmvitdense.models import PlainViT\n'
        'sizes = dict(embed_dims=48, num_layers=1, num_heads=3, img_size=32)\n'
        f"torch.save(PlainViT(**sizes).state_dict(), '{path}')\n"
        f"model = PlainViT(**sizes, init_cfg=dict(type='ViTPretrained', checkpoint='{path}'))\n"
        'model.init_weights()\n'
        f"assert torch.equal(model.patch_embed.proj.weight, torch.load('{path}')['patch_embed.proj.weight'])\n"
        "PlainViT(**sizes, init_cfg=dict(type='SinCosPositions')).init_weights()\n"
    )
    result = bare_python.run(['-c', code])
    assert result.returncode == 0, result.stderr


def test_without_openmmlab_one_sentence_says_what_to_install():
    # -S leaves site-packages out, so that mmengine is absent as on a machine without it.
    result = run_python('import mmvitdense', '-S')
    assert result.returncode != 0
    message = result.stderr.strip().splitlines()[-1]
    assert re.match(r'ImportError: mmvitdense needs OpenMMLab, which is not installed: run `pip install', message)
    assert 'mmvitdense[onedl]' in message
    assert 'mmvitdense[openmmlab]' in message


def test_packages_import_only_the_packages_below():
    lint = shutil.which('lint-imports', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
    if lint is None:
        pytest.skip('import-linter is not installed')
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    result = subprocess.run(
        [lint, '--config', str(ROOT / '.importlinter')], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r'Contracts: [1-9]\d* kept, 0 broken', result.stdout)


def test_one_quoting_style():
    """Code in docstrings and comments stands between single backticks."""
    files = [file for folder in ('mmvitdense', 'tests', 'tools', 'projects') for file in (ROOT / folder).rglob('*.py')]
    assert [str(file) for file in files if re.search('(?<!`)``' + r'[^`\n]+``(?!`)', file.read_text())] == []
