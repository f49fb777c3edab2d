"""Mistakes in a config file, as one sentence with the file and the line."""

from __future__ import annotations

import difflib
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from .build_errors import message_of
from .errors import InputError


@contextmanager
def reading_config(name: str) -> Iterator[None]:
    """Turn what goes wrong while mmengine reads a config with its bases into an `InputError`.

    Args:
        name: The config as it was given.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(_explain(error, name)) from error


def refuse_circles(path: Path, above: tuple[Path, ...] = ()) -> None:
    """Refuse a config that inherits from itself, which mmengine reads until Python's stack is full.

    Args:
        path: A config.
        above: The configs that inherit from it.

    Raises:
        InputError: One of its bases inherits from it.
    """
    from mmengine.config import Config

    path = path.absolute()
    if path in above:
        circle = [*above[above.index(path) :], path]
        raise InputError(
            f'{path} inherits from itself: {" -> ".join(map(str, circle))}; take one of these out of _base_.'
        )
    if path.suffix != '.py':  # bases of the others are read with their values
        return
    try:
        found = [Config._get_cfg_path(base, str(path))[0] for base in Config._get_base_files(str(path))]
    except Exception:  # whatever is wrong is found, with its place, when the config is read
        return
    for base in found:
        if Path(base).is_file():
            refuse_circles(Path(base), (*above, path))


def nearest_file(path: Path) -> str:
    """'; did you mean X?' for a file that does not exist, if a neighbour has a similar name."""
    names = [file.name for file in path.parent.glob(f'*{path.suffix}')] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f'; did you mean {path.parent / close[0]}?' if close else ''


def _explain(error: BaseException, name: str) -> str:
    files = _files(error) or [name]
    if circle := next((file for file in files if files.count(file) > 1), None):
        between = list(dict.fromkeys(files[files.index(circle) :]))
        return f'{circle} inherits from itself: {" -> ".join([*between, circle])}; take one of these out of _base_.'
    file = files[-1]
    if isinstance(error, SyntaxError):
        return f'{file}, line {error.lineno}: {error.msg}: {(error.text or "").strip()!r}.'
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f'{file}, line {error.problem_mark.line + 1}: {error.problem or error.context}.'
    if isinstance(error, json.JSONDecodeError):
        return f'{file}, line {error.lineno}: {error.msg}.'
    if isinstance(error, FileNotFoundError) and len(files) > 1 and not Path(file).is_file():
        return f'{files[-2]}: there is no {file}, which it inherits from{nearest_file(Path(file)) or "."}'
    if isinstance(error, ImportError) and error.__cause__ is not None and 'custom modules' in str(error):
        return (
            f'{file}: custom_imports: {message_of(error.__cause__)}. Install it, or put the folder that holds it '
            'into the environment variable PYTHONPATH.'
        )
    line = _line(error, files)
    where = f'{file}, line {line}' if line else file
    return f'{where}: {type(error).__name__}: {message_of(error)}.'


def _files(error: Exception) -> list[str]:
    """The configs that were being read, each inherited by the one before it."""
    files = []
    # An exception that is raised again has the same frame in its traceback more than once.
    for frame in dict.fromkeys(frame for frame, _ in traceback.walk_tb(error.__traceback__)):
        module, function = frame.f_globals.get('__name__'), frame.f_code.co_name
        if module == 'mmengine.config.config' and function in ('_file2dict', '_parse_lazy_import', '_is_lazy_import'):
            filename = str(frame.f_locals.get('filename'))
            if function != '_is_lazy_import' or not files or not _same(files[-1], filename):
                files.append(filename)
    return files


def _same(one: str, other: str) -> bool:
    return Path(one).absolute() == Path(other).absolute()


def _line(error: Exception, files: list[str]) -> int | None:
    """The line of the config that raised the exception, itself or by what it called."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == '<module>' and frame.f_code.co_filename == str(Path(files[-1]).absolute()):
            found = line
    return found
