"""Both distributions of OpenMMLab give the same models: what the original one gave is in lines.json, see lines.py."""

import json

import pytest

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

from tests.configs import lines

RECORD = json.loads(lines.RECORD.read_text())


@pytest.mark.parametrize('name', lines.HEADS)
def test_names_and_shapes_around_the_backbone(name):
    assert lines.structure(name) == RECORD['structures'][name]


@pytest.mark.parametrize('name', lines.COMPUTED)
def test_losses_and_scores(name):
    found, expected = lines.values(name), RECORD['values'][name]
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
