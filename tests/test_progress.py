"""A bar of progress: on a terminal, after a while, with the time that is left."""

import io
import logging
import sys

from mmvitdense import progress as module
from mmvitdense.progress import bar, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal(monkeypatch, patience=-1.0):
    """Not a fixture: pytest sets its own streams between the fixtures and the test."""
    monkeypatch.setattr(module, '_PATIENCE', patience)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '100')
    stream = Terminal()
    monkeypatch.setattr(sys, 'stderr', stream)
    return stream


def test_it_counts_and_says_what_is_left(monkeypatch):
    terminal = on_terminal(monkeypatch)
    assert list(progress(range(4), 'Counting [a]')) == [0, 1, 2, 3]
    seen = terminal.getvalue()
    assert 'Counting [a]' in seen
    assert '4/4' in seen
    assert 'left' in seen
    assert seen.endswith('\x1b[2K')  # gone


def test_what_ends_soon_has_none(monkeypatch):
    terminal = on_terminal(monkeypatch, 60.0)
    assert sum(progress(range(4), 'Counting')) == 6
    assert terminal.getvalue() == ''


def test_without_a_terminal_there_is_nothing(monkeypatch):
    monkeypatch.setattr(module, '_PATIENCE', -1.0)
    for stream in (io.StringIO(), None):  # none under pythonw
        monkeypatch.setattr(sys, 'stderr', stream)
        assert sum(progress(iter([1, 2]), 'Counting', total=2)) == 3
        assert stream is None or stream.getvalue() == ''


def test_what_is_logged_goes_above(monkeypatch):
    terminal = on_terminal(monkeypatch)
    logger = logging.getLogger('of_a_run')
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    try:
        with bar(2000, 'Fetching', done=1000, in_bytes=True) as advance:
            advance(500)
            assert handler.stream is not terminal
            logger.warning('a line')
        assert handler.stream is terminal
    finally:
        logger.removeHandler(handler)
    seen = terminal.getvalue()
    assert seen.index('a line\n') < seen.rindex('1.5/2.0 kB')


def test_a_bar_in_a_bar_is_one(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with bar(2, 'Outside') as advance:
        advance(1)
        assert sum(progress([1, 2], 'Inside')) == 3
    assert 'Outside' in terminal.getvalue()
    assert 'Inside' not in terminal.getvalue()
