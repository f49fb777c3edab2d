"""One line and exit code 2 for mistakes of the user, a traceback for ours."""

import argparse
import errno
import os
import warnings
from pathlib import Path

import pytest

from mmvitdense.apis import errors
from mmvitdense.apis.arguments import add_cfg_options, parse_value
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.datasets.checks import DataError
from mmvitdense.engine import NonFiniteError


def fail_with(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize('kind', [InputError, CheckpointError, DataError])
def test_mistakes_end_with_one_line(kind, capsys):
    assert run_tool(fail_with(kind('first\n  second'))) == 2
    assert capsys.readouterr().err == 'error: first second\n'


def test_a_run_that_diverged_has_a_code_of_its_own(capsys):
    assert run_tool(fail_with(NonFiniteError('Iteration 2: ...'))) == 3
    assert capsys.readouterr().err == 'error: Iteration 2: ...\n'


def test_only_one_process_of_many_prints(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    assert run_tool(fail_with(InputError('no'))) == 2
    assert capsys.readouterr().err == ''


def test_a_fault_of_the_program_keeps_its_traceback_and_asks_to_report_it_last(capsys):
    assert run_tool(lambda: 1 // 0) == 1
    *above, last = capsys.readouterr().err.strip().splitlines()
    assert above[0].startswith('Traceback')
    assert last.startswith('error: ZeroDivisionError: ')
    assert 'please report it' in last


def test_debug_shows_the_traceback_of_a_mistake(capsys):
    assert run_tool(fail_with(InputError('no')), debug=True) == 2
    *above, last = capsys.readouterr().err.strip().splitlines()
    assert above[0].startswith('Traceback')
    assert last == 'error: no'


def test_warnings_of_other_libraries_are_shown_with_debug_alone(monkeypatch):
    """Where this package itself lies among the installed ones, too."""
    shown = []
    packages = str(Path(errors.__file__).parents[2])
    monkeypatch.setattr(
        errors.sysconfig, 'get_paths', lambda: dict.fromkeys(('stdlib', 'purelib', 'platlib'), packages)
    )

    def main():
        warnings.warn_explicit('theirs', UserWarning, f'{packages}/other/file.py', 1)
        warnings.warn_explicit('old', FutureWarning, __file__, 1)
        warnings.warn_explicit('ours', UserWarning, errors.__file__, 1)

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        monkeypatch.setattr(warnings, 'showwarning', lambda message, *_: shown.append(str(message)))
        assert run_tool(main) == 0
        assert shown == ['ours']
        assert run_tool(main, debug=True) == 0
    assert shown == ['ours', 'theirs', 'old', 'ours']


def test_exit_codes_pass():
    assert run_tool(lambda: None) == 0
    assert run_tool(lambda: 1) == 1


@pytest.mark.parametrize('pair', ['nonsense', 'a=[1,2'])
def test_options_that_cannot_be_parsed(pair, capsys):
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    with pytest.raises(SystemExit) as exit_code:
        parser.parse_args(['--cfg-options', pair])
    assert exit_code.value.code == 2
    assert '--cfg-options' in capsys.readouterr().err


def test_options_are_parsed_as_openmmlab_does():
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    arguments = parser.parse_args(['--cfg-options', 'a.b=1', 'c=(1,2.5)', '--cfg-options', 'd=x'])
    assert arguments.cfg_options == {'a.b': 1, 'c': (1, 2.5), 'd': 'x'}


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('my data', 'my data'),
        ('"my data"', 'my data'),
        ('["a b", c]', ['a b', 'c']),
        ('[(1, 2, 3), [a, b], c]', [(1, 2, 3), ['a', 'b'], 'c']),
        ('1,2', [1, 2]),
        ('(1,),(2,)', [(1,), (2,)]),
        ('[]', []),
        ('a (copy)', 'a (copy)'),
        ('None', None),
        ('1e-4', 1e-4),
    ],
)
def test_values_of_options(text, value):
    assert parse_value(text) == value


def test_an_interrupt_of_which_a_library_made_another_error(capsys):
    def main():
        try:
            raise KeyboardInterrupt
        except BaseException as error:
            raise SyntaxError('Failed to format the config') from error

    assert run_tool(main) == 130
    assert capsys.readouterr().err == 'error: Stopped by Ctrl-C.\n'


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EIO, errno.EISDIR, errno.EMFILE])
def test_what_the_system_says_of_a_file_is_one_line(number, capsys):
    assert run_tool(fail_with(OSError(number, os.strerror(number), 'a/b.log'))) == 1
    assert capsys.readouterr().err == f'error: a/b.log cannot be read or written: {os.strerror(number)}.\n'


def test_a_folder_that_was_taken_away_is_one_line(capsys, tmp_path):
    assert run_tool(lambda: (tmp_path / 'gone' / 'log.json').open('w') and 0) == 1
    assert capsys.readouterr().err.endswith(
        f'log.json cannot be read or written: there is no folder {tmp_path}/gone.\n'
    )
