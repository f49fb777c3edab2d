"""Configs that stand alone are read by programs that know nothing of this package."""

import pytest
from mmengine.config import Config

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.standalone import standalone_config, write_standalone_config

ELSEWHERE = """
import sys

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

assert 'mmvitdense' not in sys.modules
cfg = Config.fromfile(sys.argv[1])
init_default_scope(cfg.default_scope)
model = MODELS.build(cfg.model).eval()
with torch.no_grad():
    maps = model.extract_feat(torch.zeros(1, 3, 64, 64))
print(type(model.backbone).__name__, [tuple(map.shape) for map in maps])
"""


def test_it_opens_where_its_bases_are_unknown(bare_python, tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text(
        "_base_ = 'mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py'\n"
        "custom_imports = dict(imports=['json'])\n"
        'randomness = dict(seed=7)\n'
    )
    path = tmp_path / 'new' / 'alone.py'
    write_standalone_config(mine, path, {'model.backbone.num_layers': 2, 'model.backbone.global_blocks': (1,)})
    cfg = Config.fromfile(path)
    assert '_base_' not in path.read_text()
    assert cfg.custom_imports.imports == ['mmvitdense', 'json']
    assert (cfg.randomness.seed, cfg.model.backbone.num_layers) == (7, 2)
    done = bare_python.run(['-c', ELSEWHERE, path], folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith('PlainViT [(1, 64, 16, 16), (1, 64, 8, 8), ')


@pytest.mark.parametrize(
    ('value', 'message'), [(float('inf'), 'NameError'), (print, 'cannot be written as text'), ({'class': 1}, 'Syntax')]
)
def test_what_is_no_text_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        standalone_config(Config({'default_scope': 'mmdet', 'thing': value}))


def test_names_that_are_no_python_file(tmp_path):
    for name, message in (('a.txt', 'ends with .py'), ('folder.py', 'is a folder'), ('file.py/a.py', 'is a file')):
        (tmp_path / 'folder.py').mkdir(exist_ok=True)
        (tmp_path / 'file.py').touch()
        with pytest.raises(InputError, match=message):
            write_standalone_config(Config({}), tmp_path / name)
