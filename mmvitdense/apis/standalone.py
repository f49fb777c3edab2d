"""Configs that stand alone: every base resolved, readable by any tool of OpenMMLab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmvitdense.whole_files import written_whole

from .config import load_config
from .errors import InputError
from .files import check_output_file


def standalone_config(config: Any, cfg_options: dict[str, Any] | None = None) -> str:
    """The text of a config without bases that says what `config` says.

    Args:
        config: Path, `mmvitdense::family/name.py`, or `Config`.
        cfg_options: {dotted key: value} merged into the config.

    Returns:
        A Python config that imports this package by its `custom_imports`, so that the tools of mmdet, mmseg and
        mmengine can build from it. They open no config whose `_base_` is `mmvitdense::...` unless mmvitdense was
        imported before.

    Raises:
        InputError: no such config, or it holds what cannot be written as text.
    """
    from mmengine.config import Config

    cfg = load_config(config, cfg_options)
    cfg.custom_imports = _with_package(cfg.get('custom_imports') or {})
    try:
        text = cfg.pretty_text
        same = Config.fromstring(text, '.py').to_dict() == cfg.to_dict()
    except Exception as error:  # the text is a program: any error can come out of one that is not what was meant
        raise InputError(f'{cfg.filename} cannot be written as text: reading it back gives {error!r}.') from error
    if not same:
        raise InputError(f'{cfg.filename} cannot be written as text: reading it back gives other values.')
    return text


def _with_package(custom_imports: dict[str, Any]) -> dict[str, Any]:
    """A config that imports modules of its own has replaced the list that imported this package."""
    imports = custom_imports.get('imports') or []
    imports = [imports] if isinstance(imports, str) else list(imports)
    if not any(name.partition('.')[0] == 'mmvitdense' for name in imports):
        imports.insert(0, 'mmvitdense')
    return {'allow_failed_imports': False, **custom_imports, 'imports': imports}


def write_standalone_config(config: Any, path: str | Path, cfg_options: dict[str, Any] | None = None) -> None:
    """Write what `standalone_config` returns; the file is whole or absent.

    Raises:
        InputError: as there, or `path` is no name for a Python file.
    """
    if Path(path).suffix != '.py':
        raise InputError(f'--save-path {path}: expected a file name that ends with .py.')
    check_output_file(path, '--save-path')
    text = standalone_config(config, cfg_options)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
