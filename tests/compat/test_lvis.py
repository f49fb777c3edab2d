"""A package that is written as lvis 0.5.3 works with a numpy that has no np.float."""

import sys

import numpy as np

from mmvitdense.compat import lvis


def test_numpy_of_lvis_has_float(tmp_path, monkeypatch):
    (tmp_path / 'lvis').mkdir()
    (tmp_path / 'lvis' / '__init__.py').write_text('from .eval import total\n')
    (tmp_path / 'lvis' / 'eval.py').write_text(
        'import numpy as np\n\ndef total(values):\n    return np.cumsum(values).astype(dtype=np.float)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ('lvis', 'lvis.eval'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    lvis.register()
    from lvis import total

    totals = total(np.array([1, 2, 3]))
    assert totals.dtype == np.float64
    assert totals.tolist() == [1, 3, 6]
    for name in ('lvis', 'lvis.eval'):
        monkeypatch.delitem(sys.modules, name)
