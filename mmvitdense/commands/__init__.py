"""The command `mmvitdense` and the files of `tools/`: one file a command, and one way to run them.

A file of this package is a command of its name. Its docstring is the help; `EXAMPLE` is a command line that works;
`add_arguments(parser)` adds the options; `run(arguments)` does the work and returns the exit code. `prepare(words)`,
where there is one, changes the words of the command line before they are parsed. Nothing heavy is imported before
`run`, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import select
import sys
from collections.abc import Sequence
from types import ModuleType

READER_LEFT = 141
"""Exit code of a command whose output is not read any more, that of a program ended by SIGPIPE."""


def command_names() -> list[str]:
    """The names of all commands, as they are typed."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mmvitdense COMMAND ...` and return its exit code."""
    from mmvitdense import __version__

    arguments = sys.argv[1:] if arguments is None else [*arguments]
    parser = argparse.ArgumentParser(
        prog='mmvitdense',
        description='Dense prediction with plain Vision Transformers.',
        epilog='mmvitdense COMMAND --help says more of a command, with an example.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    chosen = next((argument for argument in arguments if not argument.startswith('-')), None)
    for name in command_names():
        module = _module(name)
        command = commands.add_parser(name, help=module.__doc__.strip().splitlines()[0], **_texts(module))
        if name == chosen:
            _fill(command, module)
    return _run(parser.parse_args(_prepared(chosen, arguments)))


def tool(name: str) -> int:
    """Run one command as a program of its own, `python tools/NAME.py ...`, and return its exit code."""
    parser = parser_of(name, None)
    parser.set_defaults(command=name)
    return _run(parser.parse_args(_prepared(name, sys.argv[1:])))


def _prepared(name: str | None, arguments: Sequence[str]) -> Sequence[str]:
    """The arguments as the parser of a command wants them."""
    if name not in command_names():
        return arguments
    return getattr(_module(name), 'prepare', lambda given: given)(arguments)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f'{__name__}.{name}')


def _texts(module: ModuleType) -> dict[str, object]:
    return {
        'description': module.__doc__,
        'epilog': f'example:\n  {module.EXAMPLE}',
        'formatter_class': argparse.RawDescriptionHelpFormatter,
    }


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    from mmvitdense.apis.arguments import add_debug

    module.add_arguments(parser)
    add_debug(parser)


def parser_of(name: str, program: str | None) -> argparse.ArgumentParser:
    """The parser of one command, for a program of this name (None: of the file that runs)."""
    module = _module(name)
    parser = argparse.ArgumentParser(prog=program, **_texts(module))
    _fill(parser, module)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from mmvitdense.apis.errors import run_tool

    return run_tool(lambda: _run_while_read(_module(arguments.command), arguments), arguments.debug)


def _run_while_read(module: ModuleType, arguments: argparse.Namespace) -> int:
    """Run a command; one whose output nobody reads any more, as after `| head`, ends without a word."""
    try:
        code = module.run(arguments) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return READER_LEFT


def _reader_has_left() -> bool:
    """Whether nobody reads what is printed, and it was not another pipe of the command that broke."""
    if not hasattr(select, 'poll'):  # Windows
        return False
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    # What is still held would be written, and complained of, when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
