"""Tests in processes that are forked when all is imported and collected: `pytest -p tests.forks --forks 2`.

Each process of pytest-xdist imports and collects for itself, and what it reports of a test goes through six hooks and
two queues: for ten thousand short tests that is more than what most of them take. Here one process collects, and
forks others that hold the tests already; it hands out the units of `tests.scheduling`, and reports what they find.
"""

from __future__ import annotations

import atexit
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait

import pytest
from _pytest.reports import TestReport

from tests import scheduling


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--forks', type=int, default=0, help='number of processes that run the tests')


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before torch is imported: what a fork cannot use must not be started, which are its threads and CUDA."""
    if early_config.known_args_namespace.forks:
        os.environ.setdefault('OMP_NUM_THREADS', '1')
        os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forks, if asked for; what failed in collection and what is only listed is pytest's own."""
    option = session.config.option
    if not option.forks or option.collectonly or option.usepdb or session.testsfailed:
        return None
    session.config._tmp_path_factory.getbasetemp()  # forks put their own into it
    Forks(session).run(option.forks)
    return True


@dataclass
class Fork:
    """What the first process knows of one that it forked.

    Args:
        process: Its id.
        connection: To it: lists of numbers of tests go there, what was reported of one comes back.
        tests: Numbers of those that it has not reported yet.
    """

    process: int
    connection: Connection
    tests: list[int] = field(default_factory=list)


class Forks:
    """Hands the tests of a session out to forks."""

    def __init__(self, session: pytest.Session):
        self.session = session
        units = {}
        for number, item in enumerate(session.items):
            units.setdefault(scheduling.unit(item.nodeid), []).append(number)
        self.units = list(units.values())
        self.forks = {}

    def run(self, number: int) -> None:
        """Run all units in so many processes.

        Raises:
            pytest.Session.Failed: As many tests failed as are allowed to.
        """
        try:
            for _ in range(min(number, len(self.units))):
                self._start(self.units.pop(0))
            while self.forks:
                for connection in wait(list(self.forks)):
                    self._hear(self.forks[connection])
                    if self.session.shouldfail:
                        raise self.session.Failed(self.session.shouldfail)
        finally:
            for fork in self.forks.values():
                fork.connection.close()
                os.waitpid(fork.process, 0)

    def _start(self, tests: list[int]) -> None:
        ours, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        if (process := os.fork()) == 0:
            for other in (ours, *self.forks):
                other.close()
            _work(self.session, theirs)
        theirs.close()
        self.forks[ours] = Fork(process, ours)
        self._hand_out(self.forks[ours], tests)

    def _hand_out(self, fork: Fork, tests: list[int]) -> None:
        fork.tests = list(tests)
        fork.connection.send(tests)

    def _hear(self, fork: Fork) -> None:
        """Pass on what was reported of a test; a process that has ended is replaced where it had tests to run."""
        try:
            self._report(*fork.connection.recv())
        except (EOFError, ConnectionResetError):
            self._ended(fork)
            return
        fork.tests.pop(0)
        if not fork.tests:
            self._hand_out(fork, self.units.pop(0) if self.units else [])

    def _report(self, number: int, reports: list[dict], warned: list[tuple]) -> None:
        hook, config = self.session.config.hook, self.session.config
        for message, category, file, line, *about in warned:
            warning = warnings.WarningMessage(message, type(category, (Warning,), {}), file, line)
            hook.pytest_warning_recorded.call_historic(
                kwargs=dict(zip(('warning_message', 'when', 'nodeid', 'location'), (warning, *about)))
            )
        for content in reports:
            hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=config, data=content))
        item = self.session.items[number]
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _ended(self, fork: Fork) -> None:
        del self.forks[fork.connection]
        fork.connection.close()
        code = os.waitstatus_to_exitcode(os.waitpid(fork.process, 0)[1])
        if not fork.tests and code == 0:
            return
        how = f'by signal {-code}' if code < 0 else f'with exit code {code}'
        item = self.session.items[fork.tests[0] if fork.tests else -1]
        when = 'call' if fork.tests else 'teardown'
        text = f'The process that ran this test has ended {how}; what it printed stands above.'
        report = TestReport(item.nodeid, item.location, {}, 'failed', text, when)
        self.session.config.hook.pytest_runtest_logreport(report=report)
        if fork.tests:
            left = fork.tests[1:] or (self.units.pop(0) if self.units else [])
            if left:
                self._start(left)


class _Reporter:
    """In a fork: keeps what is reported of one test, and what it warned of."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.reports, self.warned = [], []

    def pytest_runtest_logreport(self, report: TestReport) -> None:
        self.reports.append(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple | None
    ) -> None:
        of = warning_message
        self.warned.append((str(of.message), of.category.__name__, of.filename, of.lineno, when, nodeid, location))


def _work(session: pytest.Session, connection: Connection) -> None:
    """Run what is handed out, and end this process."""
    code = 1
    try:
        config = session.config
        config.pluginmanager.unregister(name='terminalreporter')
        config._tmp_path_factory._basetemp = config._tmp_path_factory.mktemp('process')
        _capture_anew(config)
        config.pluginmanager.register(reporter := _Reporter(config))
        try:
            for number, following in _tests(session, connection):
                reporter.reports, reporter.warned = [], []
                item = session.items[number]
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                connection.send((number, reporter.reports, reporter.warned))
        finally:
            session._setupstate.teardown_exact(None)
        code = 0
    except (BrokenPipeError, ConnectionResetError, EOFError, KeyboardInterrupt):
        pass  # the first process has given up
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _capture_anew(config: pytest.Config) -> None:
    """Let this process write what tests print to files of its own."""
    capture = config.pluginmanager.get_plugin('capturemanager')
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture(in_=True)


def _tests(session: pytest.Session, connection: Connection) -> Iterator[tuple[int, pytest.Item | pytest.Session]]:
    """Numbers of tests, and what follows: fixtures that it does not use are torn down, never those of the session."""
    while tests := connection.recv():
        for number, after in zip(tests, [*tests[1:], None]):
            yield number, session if after is None else session.items[after]
