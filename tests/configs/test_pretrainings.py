"""The overlays of pre-trainings say what the table of pre-trainings says, and configs take it from them."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmvitdense.pretrainings import PRETRAININGS
from tests.configs.test_configs import LEAVES, ROOT, load

OVERLAYS = sorted(path.stem for path in (ROOT / '_base_/pretrainings').glob('*.py'))
# Released with the pixels of another pre-training.
EXCEPTIONS = {
    'vit_adapter/vit-adapter-l-dinov2_mask-rcnn_ms-3x_coco.py': 'augreg',
    'vit_adapter/vit-adapter-l-augreg_htc_ms-3x_coco.py': 'mae',
    'vit_adapter/vit-adapter-l-beit_htc_ms-3x_coco.py': 'mae',
    'co_detr/vit-l-eva02_co-dino_12e_coco.py': 'mae',
    'co_detr/vit-l-eva02_co-dino-masks_12e_coco.py': 'mae',
}


def pixels_of(family):
    return [list(values) for values in PRETRAININGS[family].pixels]


@pytest.mark.parametrize('family', OVERLAYS)
def test_overlay(family):
    ((name, content),) = Config.fromfile(ROOT / f'_base_/pretrainings/{family}.py').to_dict().items()
    assert name == family
    family = family.replace('_', '-')
    assert [content['pixels'][part] for part in ('mean', 'std')] == pixels_of(family)
    bands = {frozenset((band.mean, band.std)) for band in PRETRAININGS[family].bands.values()}
    given = [content.pop(key) for key in list(content) if key.startswith('bands_')]
    assert {frozenset((tuple(part['mean']), tuple(part['std']))) for part in given} == bands
    weights = {key: value for key, value in content.items() if key != 'pixels'}
    assert weights
    assert all(value.startswith('https://') for value in weights.values())


@pytest.mark.parametrize('name', [name for name in LEAVES if not name.endswith('_shapes.py') and '/r50_' not in name])
def test_pixels_of_a_config_are_those_of_its_pre_training(name):
    family = re.match(r'.*-(?:[tsblhg]|7b|splus|hplus)-([a-z0-9]+)_', Path(name).name)[1]
    family = EXCEPTIONS.get(name, {'mae14': 'mae'}.get(family, family))
    preprocessor = load(name).model.data_preprocessor
    if family != 'random':
        assert [preprocessor.mean, preprocessor.std] == pixels_of(family)
