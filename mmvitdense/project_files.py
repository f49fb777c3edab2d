"""Where the files that come with the package are: configs, metafiles and tools."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def project_folder(inner: str) -> Path:
    """The folder in which `inner`, such as 'configs', is: `.mim` of an installed package, or a source checkout."""
    folders = (PACKAGE / '.mim', PACKAGE.parent)
    return next((folder for folder in folders if (folder / inner).exists()), folders[-1])
