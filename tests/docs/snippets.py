"""The fenced blocks of the README and of docs/, and what a command line of one is for the programs that it calls.

`python -m tests.docs.snippets` lists the blocks, each with what runs it.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mmvitdense.commands import command_names, parser_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
_BLOCK = re.compile(r'^```(python|bash)\n(.*?)^```', re.DOTALL | re.MULTILINE)
_OPTION = re.compile(r'(?<![\w-])--[a-z][\w-]*')


class Snippet(NamedTuple):
    """A fenced block."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def snippets(language: str) -> list[Snippet]:
    """All blocks of a language, in the order of the pages."""
    found = []
    for page in PAGES:
        text = page.read_text('utf-8')
        for match in _BLOCK.finditer(text):
            line = text.count('\n', 0, match.start()) + 1
            found.append(Snippet(page.relative_to(ROOT).as_posix(), line, *match.groups()))
    return [snippet for snippet in found if snippet.language == language]


def command_lines(snippet: Snippet) -> list[list[str]]:
    """The words of each line, without comments and without variables that are set for it."""
    lines = snippet.text.replace('\\\n', ' ').splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    for line in words:
        while line and re.fullmatch(r'[A-Z_]+=.*', line[0]):
            line.pop(0)
    return [line for line in words if line]


def check_line(words: list[str]) -> None:
    """Raise ValueError unless a program takes this command line, as far as it can be told without running it."""
    program, *rest = words
    if program == 'torchrun':
        program, rest = 'python', rest[2:]  # --nproc_per_node N
        rest = rest if rest[0] == '-m' or rest[0].endswith('.py') else [None]
    if program == 'python' and rest[:2] == ['-m', 'mmvitdense']:
        program, rest = 'mmvitdense', rest[2:]
    if program == 'mmvitdense':
        _parse(rest[0], rest[1:])
    elif program == 'python' and rest[:2] == ['-m', 'pytest']:
        if missing := [word for word in rest[2:] if not (ROOT / word).exists()]:
            raise ValueError(f'there is no file {missing[0]}')
    elif program == 'python' and rest[0] and rest[0].startswith(('tools/', 'tests/')):
        _check_tool(rest[0], rest[1:])
    elif program == 'bash':
        if not (ROOT / rest[0]).is_file():
            raise ValueError(f'there is no file {rest[0]}')
    elif program == 'pip':
        _check_extras(rest)
    else:
        raise ValueError(f'nobody checks what {program!r} is')
    for word in rest:
        _check_name(word or '')


def _check_tool(path: str, arguments: list[str]) -> None:
    source = (ROOT / path).read_text('utf-8')
    if command := re.search(r"tool\('(\w+)'\)", source):
        _parse(command[1], arguments)
    elif unknown := {word for word in arguments if word.startswith('--')} - set(_OPTION.findall(source)):
        raise ValueError(f'{path} has no {sorted(unknown)}')


def _parse(command: str, arguments: list[str]) -> None:
    if command not in command_names():
        raise ValueError(f'there is no command {command!r}')
    parser = parser_of(command, command)

    def refuse(message: str) -> None:
        raise ValueError(f'{command}: {message}')

    parser.error = refuse
    parser.parse_args(arguments)


def _check_extras(arguments: list[str]) -> None:
    known = {path.stem for path in (ROOT / 'requirements').glob('*.txt')}
    named = {extra for word in arguments for part in re.findall(r'\[(.*?)\]', word) for extra in part.split(',')}
    if named - known:
        raise ValueError(f'there are no extras {sorted(named - known)}')


def _check_name(word: str) -> None:
    """Configs and models that are named exist; words in capitals stand for some."""
    path = word.replace('mmvitdense::', 'configs/')
    if path.startswith('configs/') and not (ROOT / path).is_file():
        raise ValueError(f'there is no config {word}')
    if re.fullmatch(r'[a-z0-9-]+_[a-z0-9_-]+_(coco|ade20k|lvis|shapes)[a-z0-9-]*', word) and word not in _configs():
        raise ValueError(f'there is no model {word}')


@cache
def _configs() -> frozenset[str]:
    return frozenset(path.stem for path in (ROOT / 'configs').glob('*/*.py'))


def options_in_prose(page: Path) -> set[str]:
    """Options that a page names between backticks."""
    text = _BLOCK.sub('', page.read_text('utf-8'))
    return {option for code in re.findall(r'`([^`\n]+(?:\n[^`\n]+)?)`', text) for option in _OPTION.findall(code)}


@cache
def known_options() -> frozenset[str]:
    """Options of all commands and tools."""
    commands = {
        option for name in command_names() for each in parser_of(name, name)._actions for option in each.option_strings
    }
    tools = {option for path in (ROOT / 'tools').glob('*.*') for option in _OPTION.findall(path.read_text('utf-8'))}
    return frozenset(commands | tools)


if __name__ == '__main__':
    from tests.docs.test_snippets import how_it_is_run

    for each in [*snippets('python'), *snippets('bash')]:
        print(f'{each}  {each.language}  {how_it_is_run(each)}')
