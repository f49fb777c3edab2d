"""ViT-Adapter: numbers of the official code (detection, segmentation), and its published sizes."""

import pytest

from tests.fidelity.adapters import Golden

# What the weights do not tell.
UNTOLD = {
    'vitadapter_det': {},
    'vitadapter_det_window': {'vit': {'window_size': [5, 5, 0, 5, 5, 0]}},
    'beitadapter_seg': {'vit_feature': 'stagewise'},
}


@pytest.fixture(scope='module', params=list(UNTOLD))
def golden(request):
    return Golden(request.param), dict(UNTOLD[request.param])


def test_outputs(golden):
    golden, untold = golden
    golden.assert_outputs(golden.build(**untold))


def test_each_stage(golden):
    golden, untold = golden
    golden.assert_stages(golden.build(**untold))


def test_gradients(golden):
    golden, untold = golden
    golden.assert_gradients(golden.build(**untold))
