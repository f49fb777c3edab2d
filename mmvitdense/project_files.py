"""Where the files that come with the package are: configs, metafiles and tools."""

from __future__ import annotations

from pathlib import Path


def project_folder(inner: str) -> Path:
    """The folder in which `inner`, such as 'configs', is: `.mim` of an installed package, or a source checkout."""
    package = Path(__file__).parent
    folders = (package / '.mim', package.parent)
    return next((folder for folder in folders if (folder / inner).exists()), folders[-1])
