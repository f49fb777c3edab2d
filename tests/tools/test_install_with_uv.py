"""What pip is set up to do is handed on to uv, or is a reason not to use it."""

import runpy
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'install_with_uv.py'))

CONFIGURATION = """\
:env:.default-timeout='180'
:env:.find-links='/opt/wheels'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.constraint='/etc/pip/constraints.txt'
global.extra-index-url='file:///one/simple\\nfile:///two/simple'
global.find-links='/opt/wheels'
user.index-url='https://packages.example/simple'
"""


def test_options():
    assert TOOL['options_of']('') == []
    assert TOOL['options_of'](CONFIGURATION) == [
        *('--find-links', '/opt/wheels'),
        *('--constraint', '/etc/pip/constraints.txt'),
        *('--index', 'file:///one/simple', '--index', 'file:///two/simple'),
        *('--default-index', 'https://packages.example/simple'),
    ]
    with pytest.raises(ValueError, match="pip is set up with global.pre='true', which has no counterpart for uv here"):
        TOOL['options_of'](CONFIGURATION + "global.pre='true'\n")


def test_every_version_is_pinned():
    lines = [line for line in TOOL['CHOSEN_BY_PIP'].read_text().splitlines() if not line.startswith('#')]
    assert lines
    assert all('==' in line for line in lines)
