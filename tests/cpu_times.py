"""CPU seconds of folders, files and tests, with those of their processes: `tools/run_tests.sh --times [tests/layers]`.

What a clock on the wall says depends on what else the machine does.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

TICKS = os.sysconf('SC_CLK_TCK')
# {what is added up: the least that is shown}
SHOWN = {'folder': 0, 'file': 3, 'function': 2, 'test': 1.5}


def spent(process: int | str = 'self') -> float:
    """Seconds that a process, its ended children and its living descendants have spent so far."""
    try:
        fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
        children = ' '.join(path.read_text() for path in Path(f'/proc/{process}/task').glob('*/children')).split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS + sum(spent(child) for child in children)


class CpuTimes:
    """Notes in each report of a test what was spent since the one before; adds them up where they arrive."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.before = 0.0
        self.collected = []
        self.of = {kind: Counter() for kind in SHOWN}

    def pytest_collection_finish(self):
        self.before = spent()
        if hasattr(self.config, 'workeroutput'):
            self.config.workeroutput['collected'] = self.before
        else:
            self.collected.append(self.before)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.collected.append(getattr(node, 'workeroutput', {}).get('collected', 0))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = spent()
        report.cpu, self.before = now - self.before, now
        return report

    def pytest_runtest_logreport(self, report):
        file, function = report.nodeid.partition('::')[0], report.nodeid.partition('[')[0]
        phase = '' if report.when == 'call' else f' ({report.when})'
        names = ('/'.join(file.split('/')[:2]), file, function + phase, report.nodeid + phase)
        for kind, name in zip(SHOWN, names):
            self.of[kind][name] += getattr(report, 'cpu', 0)

    def pytest_terminal_summary(self, terminalreporter):
        for kind, least in SHOWN.items():
            terminalreporter.section(f'CPU seconds by {kind}')
            for name, seconds in self.of[kind].most_common():
                if seconds >= least:
                    terminalreporter.line(f'{seconds:8.2f} {name}')
        total = sum(self.of['folder'].values())
        imports = ', '.join(f'{seconds:.1f}' for seconds in self.collected)
        terminalreporter.line(f'{total:8.2f} all tests; starting and collecting: {imports}')


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuTimes(config))
