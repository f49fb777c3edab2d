"""Which files one worker of xdist runs together, and in which order files are handed out.

By file, as `--dist loadfile` does: fixtures of a module cost time. Files that need one costly thing of a session,
a Python that waits to be forked above all, are one unit, so that one worker alone makes it. Units that take long and
have few tests come first: at the end one of two workers would wait for them.
"""

from collections import Counter

import pytest

# Prefixes of files, by what they share.
TOGETHER = {
    'tools in forks of a Python that has imported them': (
        'tests/integration/',
        'tests/compat/test_panopticapi.py',
        'tests/datasets/test_shapes.py',
        'tests/reliability/test_bad_inputs.py',
        'tests/reliability/test_resources.py',
    ),
    'runs in forks of a server': ('tests/engine/', 'tests/reliability/test_kills.py'),
    'programs in forks of a Python without this package': (
        'tests/apis/test_standalone.py',
        'tests/ops/test_building.py',
        'tests/ops/test_precision.py',
        'tests/test_package.py',
        'tests/test_registry.py',
    ),
}
# Files of few tests that take long all the same.
LONG = ('tests/export/test_files.py', 'tests/ops/test_cuda_kernels.py')


def unit(test: str) -> str:
    """Name of the unit that a test belongs to, its file where it shares nothing."""
    file = test.partition('::')[0]
    return next((name for name, prefixes in TOGETHER.items() if file.startswith(prefixes)), file)


def order(items: list[pytest.Item]) -> None:
    """Put units that share something first, then files that take long, then the others by their number of tests."""
    first = [*TOGETHER, *LONG]
    tests = Counter(unit(item.nodeid) for item in items)

    def key(item: pytest.Item) -> tuple:
        name = unit(item.nodeid)
        return (first.index(name), 0) if name in first else (len(first), -tests[name])

    items.sort(key=key)


def scheduler(config: pytest.Config, log: object) -> object:
    """What hands units out to the workers of xdist, in the order of the tests."""
    from xdist.scheduler import LoadFileScheduling

    class UnitScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return UnitScheduling(config, log)
