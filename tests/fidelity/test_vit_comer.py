"""ViT-CoMer: numbers of the official code (detection, segmentation, Co-DETR), and its published sizes."""

import pytest

from tests.fidelity.adapters import Golden

# What the weights do not tell.
UNTOLD = {
    'vitcomer_det_full': {},
    'vitcomer_det_window': {'vit': {'window_size': [5, 5, 0, 5, 5, 0]}},
    'vitcomer_det_nointer': {'vit_feature': None},
    'vitcomer_seg': {'vit_feature': 'stagewise'},
    'beitcomer2_codetr': {'out_vit_map': True},
    'beitcomer2_codetr_abspos': {'out_vit_map': True, 'vit_feature': 'stagewise'},
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


@pytest.mark.parametrize(
    ('name', 'untold'),
    [
        ('vitcomer_det_full', {'vit_feature': 'stagewise'}),
        ('vitcomer_seg', {'vit_feature': 'last'}),
        ('vitcomer_det_window', {'vit': {'window_size': [5, 5, 0, 5, 5, 0], 'window_pad': 'tokens'}}),
        ('vitcomer_det_window', {'vit': {'window_size': [5, 5, 0, 5, 5, 0]}, 'interaction_indexes': None}),
    ],
    ids=['maps', 'maps-of-segmentation', 'padding', 'stages'],
)
def test_a_wrong_choice_loads_and_is_seen(name, untold):
    golden = Golden(name)
    if untold.get('interaction_indexes', 1) is None:
        untold['interaction_indexes'] = [[0, 0], [1, 2], [3, 3], [4, 5]]
    with pytest.raises(AssertionError, match=r'f\d: off by'):
        golden.assert_outputs(golden.build(**untold))
