"""CUDA sources as C++ that g++ compiles against the headers in include/: launches, shared memory and inline PTX are
written anew, the rest is left as it is. Lines keep their numbers."""

import ast
import re

import ptx

_STRING = r'"(?:[^"\\\n]|\\.)*"'


class UntranslatableError(ValueError):
    """A construct of CUDA that this file does not know."""


def translate(text: str, name: str) -> str:
    """The text of a file that may be compiled; `name` is what messages call it."""
    text = _without_comments(text)
    for change in (_assemblies, _shared_variables, _launches, _untyped_launches, _registration):
        text = change(text)
    return f'#line 1 "{name}"\n{text}'


def _without_comments(text: str) -> str:
    def blank(match: re.Match) -> str:
        return match[0] if match[0][0] in '"\'' else ' ' + '\n' * match[0].count('\n')

    return re.sub(rf"{_STRING}|'(?:[^'\\\n]|\\.)'|//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)


def _closing(text: str, start: int) -> int:
    """The position after the bracket that closes the one at `start`."""
    depth = 0
    for match in re.compile(rf'{_STRING}|[(){{}}\[\]]').finditer(text, start):
        depth += 1 if match[0] in '([{' else -1 if match[0] in ')]}' else 0
        if depth == 0:
            return match.end()
    raise UntranslatableError(f'a bracket is not closed: {text[start : start + 60]!r}')


def _split(text: str, separator: str) -> list[str]:
    """At separators outside of brackets and strings."""
    parts, depth, begin = [], 0, 0
    for match in re.finditer(rf'{_STRING}|[(){{}}\[\]]|{separator}', text):
        if match[0] == separator and depth == 0:
            parts.append(text[begin : match.start()])
            begin = match.end()
        depth += 1 if match[0] in '([{' else -1 if match[0] in ')]}' else 0
    return [*parts, text[begin:]]


def _assemblies(text: str) -> str:
    pattern = re.compile(r'\b(?:asm|__asm__)\s*(?:volatile|__volatile__)?\s*\(')
    while match := pattern.search(text):
        end = _closing(text, match.end() - 1)
        sections = [part.strip() for part in _split(text[match.end() : end - 1], ':')] + ['', '', '']
        code = ''.join(ast.literal_eval(string) for string in re.findall(_STRING, sections[0]))
        operands = [[_operand(part) for part in _split(section, ',') if part.strip()] for section in sections[1:3]]
        lines = '\n' * text.count('\n', match.start(), end)
        text = text[: match.start()] + ptx.translate(code, *operands) + lines + text[end:]
    return text


def _operand(text: str) -> tuple[str, str]:
    match = re.fullmatch(r'\s*"([^"]*)"\s*\((.*)\)\s*', text, re.DOTALL)
    if match is None:
        raise UntranslatableError(f'an operand of asm is {text!r}')
    return match[1], ' '.join(match[2].split())


def _shared_variables(text: str) -> str:
    """A block's memory comes from the emulation, which knows when a block begins."""
    dynamic = r'\bextern\s+__shared__\s+(?:__align__\(\w+\)\s*|alignas\(\w+\)\s*)?([\w:<> ]+?)\s+(\w+)\s*\[\s*\]\s*;'
    names = {}

    def declare(match: re.Match) -> str:
        names[match[2]] = match[1]
        return ' ' + '\n' * match[0].count('\n')

    text = re.sub(dynamic, declare, text)
    for name, kind in names.items():
        text = re.sub(rf'\b{name}\b', f'(::cuda_on_cpu::dynamic_shared_as<{kind}>())', text)

    def define(match: re.Match) -> str:
        kind, name, sizes = match.groups()
        return (
            f'using {name}_of_block = {kind}{sizes}; static void* {name}_slot; '
            f'{name}_of_block& {name} = ::cuda_on_cpu::shared<{name}_of_block>(&{name}_slot);'
        ) + '\n' * match[0].count('\n')

    static = r'\b__shared__\s+(?:__align__\(\w+\)\s*|alignas\(\w+\)\s*)?([\w:<>, ]+?)\s+(\w+)\s*((?:\[[^\]]*\]\s*)*);'
    text = re.sub(static, define, text)
    if '__shared__' in text:
        at = text.index('__shared__')
        raise UntranslatableError(
            f'a declaration of shared memory that is not `__shared__ type name[sizes];`: {text[at : at + 80]!r}'
        )
    return text


def _launches(text: str) -> str:
    while (at := text.find('<<<')) >= 0:
        kernel = re.search(r'[\w:]+\s*(?:<[^;{}]*>)?\s*$', text[:at])
        end = text.index('>>>', at)
        call = f'::cuda_on_cpu::launch_with(&{kernel[0].strip()}, {text[at + 3 : end]})'
        text = text[: kernel.start()] + call + text[end + 3 :]
    return text


def _untyped_launches(text: str) -> str:
    """A kernel that is launched by its address keeps its type, which says what its parameters are."""
    return re.sub(r'(\bcudaLaunchKernel\(\s*)reinterpret_cast<const void\s*\*>\((\w+)\)', r'\1\2', text)


def _registration(text: str) -> str:
    """Operators of a library of their own instead of kernels for those of the project."""
    header = r'TORCH_LIBRARY_IMPL\(\w+,\s*\w+,\s*(\w+)\)'
    if not re.search(header, text):
        return text
    text = re.sub(header, r'void cuda_on_cpu_define(torch::Library& \1)', text)
    return re.sub(r'\blibrary\.impl\(', 'library.def(', text)


def operators(text: str) -> list[str]:
    """The names of the operators that register.cpp registers."""
    return re.findall(r'library\.impl\("(\w+)"', text)
