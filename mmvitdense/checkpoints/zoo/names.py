"""Finding entries of the zoo by what a person types."""

from __future__ import annotations

import difflib
from pathlib import Path

from mmvitdense.project_files import project_folder

from .entry import ZooEntry
from .metafiles import zoo_entries, zoo_entry

_WEIGHTS = ('.pth', '.pt', '.safetensors', '.bin', '.pkl', '.npz', '.tar', '.zip')
_OWN_NAME = 'mmvitdense::'
_SHOWN = 3


def is_weights(model: str | Path) -> bool:
    """Whether this names a file of weights rather than a config."""
    return Path(str(model).partition('?')[0]).suffix in _WEIGHTS


def entry_named(text: str) -> ZooEntry | None:
    """The entry that is called so: by its name, its config or `mmvitdense::` and its config, with or without '.py'."""
    inner = text.removeprefix(_OWN_NAME).removeprefix('configs/').removesuffix('.py')
    entry = zoo_entry(inner.rpartition('/')[2])
    return entry if entry and inner in (entry.name, entry.config.removesuffix('.py')) else None


def entry_of_config(path: str | Path | None) -> ZooEntry | None:
    """The entry of a config file of this package, also of a copy of the file in a checkout."""
    if path is None or not Path(path).is_file():
        return None
    entry = zoo_entry(Path(path).stem)
    if entry is None:
        return None
    own = project_folder('configs') / 'configs' / entry.config
    return entry if own.is_file() and own.read_bytes() == Path(path).read_bytes() else None


def nearest_names(text: str) -> str:
    """The end of a sentence that names the most similar entries."""
    name = text.removesuffix('.py').rpartition('/')[2]
    names = [entry.name for entry in zoo_entries()]
    close = [name for name in names if text and text.lower() in name.lower()][:_SHOWN] if len(text) > 3 else []
    close += [other for other in difflib.get_close_matches(name, names, n=_SHOWN) if other not in close]
    if not close:
        return '; `mmvitdense zoo` lists all that there are.'
    return f'; did you mean {" or ".join(close[:_SHOWN])}? (`mmvitdense zoo` lists all.)'
