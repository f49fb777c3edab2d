"""ViT-Hook: numbers of the official code (segmentation, detection), and the sizes of its modules."""

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, detect
from mmvitdense.checkpoints.formats.vit_hook import FORMAT
from mmvitdense.models import ViTHook
from tests.fidelity.adapters import Golden, assert_padding_is_cropped

# What the weights do not tell, and what they do.
UNTOLD = {
    'vithook_seg': {},
    'vithook_seg_deformable': {},
    'vithook_det': {'vit': {'window_size': [3, 0, 3, 0]}},
}
TOLD = {
    'vithook_seg': ('full', 'deformable', 2, 2, 0.25, 0.5, 64),
    'vithook_seg_deformable': ('deformable', 'full', 2, 0, 0.5, 1.0, 64),
    'vithook_det': ('full', None, 2, 0, None, None, None),
}
NAMES = (
    *('self_attention', 'cross_attention', 'num_hooks', 'num_extra_cross_attentions', 'cffn_ratio', 'deform_ratio'),
    'pos_img_size',
)


def build(golden, **untold):
    points = {'n_points': 2, 'deform_num_heads': 2} if 'n_points' in golden.kwargs else {}
    return golden.build(**{**untold, **points})


@pytest.fixture(scope='module', params=list(UNTOLD))
def golden(request):
    return Golden(request.param), dict(UNTOLD[request.param]), TOLD[request.param]


def test_outputs_and_tokens(golden):
    golden, untold, _ = golden
    model = build(golden, **untold)
    golden.assert_outputs(model)
    golden.assert_stages(model)


def test_gradients(golden):
    golden, untold, _ = golden
    golden.assert_gradients(build(golden, **untold))


def test_options(golden):
    golden, _, told = golden
    assert detect(golden.weights) is FORMAT
    options = FORMAT.options(golden.weights, num_heads=2)
    assert tuple(options.get(name) for name in NAMES) == told
    assert set(FORMAT.guesses(golden.weights, options)) >= {'vit.window_size', 'deform_num_heads'}


def test_odd_sizes(golden):
    golden, untold, _ = golden
    assert_padding_is_cropped(build(golden, **untold), 83, 101)


def test_a_table_that_is_no_square():
    weights = dict(Golden('vithook_seg').weights)
    weights['level_pos_embed'] = weights['level_pos_embed'][:, :12]
    with pytest.raises(CheckpointError, match='level_pos_embed has 12 rows, .* give pos_img_size'):
        FORMAT.options(weights, num_heads=2)
    assert FORMAT.options(weights, num_heads=2, pos_img_size=(48, 64))['pos_img_size'] == (48, 64)


@pytest.mark.parametrize(
    ('arch', 'heads', 'full', 'deformable', 'alone', 'stem', 'up'),
    [
        ('small', 6, 845_352, 485_184, 592_128, 1_307_456, 590_208),
        ('base', 12, 3_368_016, 1_928_832, 2_363_904, 1_579_328, 2_360_064),
        ('large', 16, 5_981_632, 3_423_744, 4_200_448, 1_760_576, 4_195_328),
    ],
)
def test_official_sizes(arch, heads, full, deformable, alone, stem, up):
    wanted = {('full', 'deformable'): full, ('deformable', 'deformable'): deformable, ('full', None): alone}
    for (self_attention, cross_attention), count in wanted.items():
        with torch.device('meta'):
            model = ViTHook(
                {'arch': arch},
                deform_num_heads=heads,
                self_attention=self_attention,
                cross_attention=cross_attention,
            )
        assert len(model.interactions[0].hooks) == 4
        assert {sum(p.numel() for p in hook.parameters()) for hook in model.interactions[0].hooks} == {count}
        assert [sum(p.numel() for p in part.parameters()) for part in (model.spm, model.up)] == [stem, up]
