"""The command that was typed to start this run, as it would be typed again."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

_PROGRAM = 'mmvitdense'
"""The command that is installed with the package."""


def typed_command() -> str:
    """The command line of this process, as a person types it: `mmvitdense train ...`, not the path of its script."""
    program, *arguments = sys.argv or ['']
    return shlex.join([*(_launcher() or [program]), *arguments])


def resume_command() -> str:
    """The command line that goes on with this run, or what to change where the run was not started by a command."""
    launcher = _launcher()
    if launcher is None:
        return "start it again with resume='auto'"
    return shlex.join([*launcher, *_with_resume(_without_resume(sys.argv[1:]))])


def _launcher() -> list[str] | None:
    """What stands before the arguments, with torchrun where it started this process; None where it was no command."""
    program = (sys.argv or [''])[0]
    started = _module() or ([program] if Path(program).suffix == '.py' else [])
    if not started and Path(program).stem != _PROGRAM:
        return None
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return ['python', *started] if started else [_PROGRAM]
    launcher = ['torchrun', '--nproc_per_node', os.environ.get('LOCAL_WORLD_SIZE', '1')]
    if (nodes := os.environ.get('GROUP_WORLD_SIZE', '1')) != '1':
        launcher += ['--nnodes', nodes]
    return [*launcher, *(started or ['-m', _PROGRAM])]


def _module() -> list[str]:
    """['-m', NAME] where the program was started so, else an empty list."""
    spec = getattr(sys.modules.get('__main__'), '__spec__', None)
    # Not of a program that runs another one in its place, as debuggers do.
    if spec is None or spec.origin is None or not sys.argv or spec.origin != sys.argv[0]:
        return []
    return ['-m', spec.name.removesuffix('.__main__')]


def _without_resume(arguments: list[str]) -> list[str]:
    kept = []
    for place, argument in enumerate(arguments):
        value_of_resume = place and arguments[place - 1] == '--resume' and not argument.startswith('-')
        if argument.partition('=')[0] != '--resume' and not value_of_resume:
            kept.append(argument)
    return kept


def _with_resume(arguments: list[str]) -> list[str]:
    # Not behind a list of --cfg-options, to which it would not belong, and not before the config, which it would take.
    place = next((place for place, argument in enumerate(arguments) if argument.startswith('--')), len(arguments))
    return [*arguments[:place], '--resume', *arguments[place:]]
