"""Prefixes: which of several models in a file is taken."""

import pytest
import torch

from mmvitdense.checkpoints.files.prefix import strip_prefix

ANCHOR = 'blocks.0.weight'
ONE, TWO = torch.ones(1), torch.zeros(1)


@pytest.mark.parametrize(
    ('taken', 'other'),
    [
        ('teacher.', 'student.'),
        ('teacher.backbone.', 'student.backbone.'),
        ('module.base_encoder.', 'module.momentum_encoder.'),
        ('target_encoder.', 'encoder.'),
        ('visual.', 'text.'),
        ('model_ema.', 'model.'),
    ],
)
def test_one_of_two(taken, other):
    weights = {f'{other}{ANCHOR}': TWO, f'{taken}{ANCHOR}': ONE, f'{taken}norm': ONE, 'step': TWO}
    found = strip_prefix(weights, ANCHOR)
    assert found.keys() == {ANCHOR, 'norm'}
    assert all(tensor is ONE for tensor in found.values())


def test_nothing_tells_which():
    assert strip_prefix({f'left.{ANCHOR}': ONE, f'right.{ANCHOR}': TWO}, ANCHOR) is None


def test_the_anchor_is_a_whole_name():
    assert strip_prefix({f'x{ANCHOR}': ONE, f'{ANCHOR}.x': ONE}, ANCHOR) is None
