"""Units of tests that one worker runs together."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.scheduling import LONG, TOGETHER, order, unit

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize('prefix', [*LONG, *(prefix for prefixes in TOGETHER.values() for prefix in prefixes)])
def test_what_is_named_is_there(prefix):
    assert (ROOT / prefix).exists()


def test_what_shares_something_comes_first_then_what_is_long_then_files_of_many_tests():
    (tools, *_), (runs, *_) = list(TOGETHER.values())[:2]
    names = [
        *('tests/a.py::test_1', 'tests/b.py::test_1[x]', f'{runs}test_1.py::test'),
        *('tests/b.py::test_2', f'{tools}c.py::test', f'{LONG[0]}::test'),
    ]
    items = [SimpleNamespace(nodeid=name) for name in names]
    order(items)
    assert [item.nodeid for item in items] == [names[place] for place in (4, 2, 5, 1, 3, 0)]
    assert unit(names[1]) == 'tests/b.py'
