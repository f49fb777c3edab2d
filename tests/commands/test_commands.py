"""The command `mmvitdense`: its help, its examples, and what it waits for."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mmvitdense import commands

ROOT = Path(__file__).parents[2]
TOOLS = {'predict': 'image_demo', 'browse': 'browse_dataset', 'shapes': 'make_shapes', 'config': 'print_config'}
"""Tools whose name is not that of their command."""


@pytest.mark.parametrize('name', commands.command_names())
def test_the_example_of_the_help_is_a_command_line(name, capsys):
    with pytest.raises(SystemExit, match='0'):
        commands.main([name, '--help'])
    help_text = capsys.readouterr().out
    program, command, *arguments = shlex.split(help_text.rpartition('example:')[2])
    assert (program, command) == ('mmvitdense', name)
    commands.parser_of(name, None).parse_args(arguments)


@pytest.mark.parametrize(
    'name', ['train', 'test', 'predict', 'convert', 'browse', 'shapes', 'config', 'export', 'data', 'throughput']
)
def test_a_tool_is_its_command(name, monkeypatch, capsys):
    source = (ROOT / 'tools' / f'{TOOLS.get(name, name)}.py').read_text()
    assert re.search(rf"sys.exit\(tool\('{name}'\)\)", source)
    monkeypatch.setattr('sys.argv', ['tool.py', '--help'])
    with pytest.raises(SystemExit, match='0'):
        commands.tool(name)
    assert f'mmvitdense {name} ' in capsys.readouterr().out


def test_the_command_line_is_read_before_anything_heavy_is_imported():
    code = """
        import runpy, sys
        sys.argv = ['mmvitdense', '--help']
        try:
            runpy.run_module('mmvitdense', run_name='__main__')
        finally:
            assert 'mmvitdense.commands.train' in sys.modules
            sys.exit(str({'torch', 'cv2', 'mmcv', 'mmdet', 'mmseg'} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.strip() == 'set()'
    assert done.stdout.startswith('usage: mmvitdense ')


@pytest.mark.parametrize('length', [1, 100_000])
def test_an_output_that_nobody_reads_any_more(length, monkeypatch, capfd, tmp_path):
    reading, writing = os.pipe()
    monkeypatch.setattr('sys.stdout', os.fdopen(writing, 'w'))
    os.close(reading)
    config = tmp_path / 'mine.py'
    config.write_text(f'a = {"x" * length!r}\n')
    assert commands.main(['config', str(config)]) == commands.READER_LEFT
    sys.stdout.close()
    assert capfd.readouterr().err == ''


def test_an_unknown_command_is_named(capsys):
    with pytest.raises(SystemExit, match='2'):
        commands.main(['trian'])
    assert "'trian' (choose from " in capsys.readouterr().err
