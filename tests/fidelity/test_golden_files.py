"""What golden files have to be to show a mistake."""

import pytest

from tests.fidelity.golden import DIRECTORY, read_golden


@pytest.mark.parametrize('name', sorted(file.stem for file in DIRECTORY.glob('*.npz')))
def test_every_weight_is_drawn(name):
    """Norms with gains of one and shifts of zero, running statistics at their start, gains that are all the same: each
    would hide where it is applied, or that it is not."""
    weights = read_golden(name).get('sd', {})
    drawn = {n: x for n, x in weights.items() if x.is_floating_point() and x.numel() > 1 and not n.endswith('_mask')}
    same = [n for n, x in drawn.items() if x.std() < 1e-3]
    assert not same, f'all the same in {name}: {same}'
    assert drawn or name.startswith('msda_core')
