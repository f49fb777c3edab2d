"""Numbers of threads, such as open-mmlab/mmcv#2059, as links. GitHub makes them links by itself."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_THREAD = re.compile(r'(?<![\w/[(])([\w-]+/[\w.-]+)#(\d+)\b')


def linked(text: str) -> str:
    """Put links in the place of the numbers; an address of an issue leads to a pull request too."""
    return _THREAD.sub(r'[\1#\2](https://github.com/\1/issues/\2)', text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page == 'troubleshooting':
        source[0] = linked(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by sphinx."""
    app.connect('source-read', _read)
    return {'parallel_read_safe': True}
