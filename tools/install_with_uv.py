"""Install the requirements given as arguments with uv, which takes a third of pip's time: it unpacks on all cores.

    python tools/install_with_uv.py -e '.[onedl,tests]'

uv reads no configuration of pip: what that says of indexes and versions is handed on. Ends with 1 where it says more
than that, where uv cannot be had, or where it fails; then pip has to do it.
"""

import ast
import subprocess
import sys
from pathlib import Path

# What pip is set up to do -> option of uv. An index of uv's own has no rank among others, as none has with pip.
OPTIONS = {
    'index-url': '--default-index',
    'extra-index-url': '--index',
    'find-links': '--find-links',
    'constraint': '--constraint',
    'trusted-host': '--allow-insecure-host',
}
# What has no say in which files are installed.
WITHOUT_EFFECT = {
    'cert', 'timeout', 'default-timeout', 'retries', 'disable-pip-version-check', 'cache-dir', 'no-cache-dir',
    'no-compile', 'progress-bar', 'quiet', 'verbose', 'no-color', 'no-input', 'root-user-action', 'require-virtualenv',
    'no-warn-script-location',
}  # fmt: skip
# The versions that pip takes, where uv would take others.
CHOSEN_BY_PIP = Path(__file__).parents[1] / 'requirements' / 'uv.txt'


def options_of(configuration: str) -> list[str]:
    """What uv has to be called with, from the lines of `pip config list`.

    Raises:
        ValueError: pip is set up to do something that has no counterpart here.
    """
    found = []
    for line in configuration.splitlines():
        name, _, text = line.partition('=')
        option = name.rpartition('.')[2]
        if option in OPTIONS:
            found += [(OPTIONS[option], value) for value in str(ast.literal_eval(text)).split()]
        elif option not in WITHOUT_EFFECT:
            raise ValueError(f'pip is set up with {line}, which has no counterpart for uv here')
    return [part for pair in dict.fromkeys(found) for part in pair]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-m', *arguments], text=True, **options)


def main(requirements: list[str]) -> int:
    configuration = run('pip', 'config', 'list', stdout=subprocess.PIPE, check=True).stdout
    try:
        options = options_of(configuration)
    except ValueError as error:
        print(f'{error}; pip installs instead.', file=sys.stderr)
        return 1
    quiet = ('--quiet', '--disable-pip-version-check')
    if run('uv', '--version', capture_output=True).returncode and run('pip', 'install', *quiet, 'uv').returncode:
        return 1
    options += ['--index-strategy', 'unsafe-best-match', '--constraint', str(CHOSEN_BY_PIP)]
    return run('uv', 'pip', 'install', '--quiet', '--python', sys.executable, *options, *requirements).returncode


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
