"""Links that lead out of docs/, such as ../configs/vit, which a repository shows and the built pages cannot.

The built page has the text of such a link, and its path in the repository where the text does not say it. A path that
is not there is a warning, with which the build ends.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

_LINK = re.compile(r'\[([^\]\n]*)\]\(\.\./([^)#\s]*)(?:#[^)\s]*)?\)')
_logger = logging.getLogger(__name__)


def without_links_out(text: str, root: Path, page: str = '') -> str:
    """Replace the links of a page that lead out of its folder."""

    def shown(match: re.Match) -> str:
        words, path = match.groups()
        if not (root / path).exists():
            _logger.warning('%s leads to %s, which is not there', page, path)
        said = path.rstrip('/') in words or Path(path).stem == words
        return words if said else f'{words} (`{path}`)'

    return _LINK.sub(shown, text)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = without_links_out(source[0], Path(app.srcdir).parent, page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by sphinx."""
    app.connect('source-read', _read)
    return {'parallel_read_safe': True}
