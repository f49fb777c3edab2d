"""Text files of strangers: in whatever encoding, and read without executing or expanding anything in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from ..checks.messages import DataError

_LARGEST_YAML = 16 << 20
_MARKS = {b'\xef\xbb\xbf': 'utf-8-sig', b'\xff\xfe': 'utf-16', b'\xfe\xff': 'utf-16'}


def read_text(path: str | Path) -> str:
    """Read a text: UTF-8 or UTF-16 by its mark, UTF-8 without one, else as Windows writes Western text.

    Raises:
        DataError: The file is empty, cannot be read, or is no text.
    """
    content = _bytes(path)
    encodings = [encoding for mark, encoding in _MARKS.items() if content.startswith(mark)]
    for encoding in [*encodings, 'utf-8', 'cp1252', 'latin-1']:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    if '\0' in text:
        raise DataError(f'{path} is no text file: it has zero bytes; write it again as UTF-8.')
    return text


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text without spaces around them; an empty file has none."""
    return [line.strip() for line in read_text(path).splitlines()] if Path(path).stat().st_size else []


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        DataError: It is no whole JSON file.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{path} is not a whole JSON file ({error}): write or download it again.') from None


def read_yaml(path: str | Path) -> Any:
    """Read YAML of plain values alone: what would make an object is refused.

    Raises:
        DataError: It is no YAML, or names objects to make.
    """
    import yaml

    text = read_text(path)
    if len(text) > _LARGEST_YAML:
        raise DataError(f'{path} has {len(text) >> 20} MB, too many for a list of classes and folders: correct it.')
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = ' '.join(str(error).split())[:200]
        raise DataError(f'{path} cannot be read as YAML of plain values ({where}): correct it.') from None


def read_xml(path: str | Path) -> ElementTree.Element:
    """Read XML; one that declares entities, which can expand without limit or name other files, is refused.

    Raises:
        DataError: It is no whole XML file, or declares entities.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(name: str, *_: Any) -> None:
        raise DataError(f'{path} declares the entity {name!r}, and no data set needs any: take it out.')

    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(_bytes(path), True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{path} is not a whole XML file ({error}): write or download it again.') from None


def _bytes(path: str | Path) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror}): write or download it again.') from None
    if not content:
        raise DataError(f'{path} is empty (0 bytes): write or download it again.')
    return content
