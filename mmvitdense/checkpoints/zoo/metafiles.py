"""Reading model-index.yml and the metafiles that it names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mmvitdense.project_files import project_folder

from .entry import Result, ZooEntry

INDEX = 'model-index.yml'
_CONFIGS = 'configs/'


def zoo_entries() -> tuple[ZooEntry, ...]:
    """All models of the zoo in the order of the metafiles, those without published weights too."""
    return _entries(project_folder(INDEX))


def zoo_entry(name: str) -> ZooEntry | None:
    """The entry of that name; None if there is none."""
    return next((entry for entry in zoo_entries() if entry.name == name), None)


@lru_cache(maxsize=4)
def _entries(folder: Path) -> tuple[ZooEntry, ...]:
    return tuple(entry for metafile in metafiles(folder) for entry in entries_of(metafile))


def entries_of(metafile: Path) -> list[ZooEntry]:
    """The models of one metafile."""
    content = read_metafile(metafile)
    collections = {part['Name']: part for part in content.get('Collections') or ()}
    return [_entry(model, collections.get(model.get('In Collection'), {})) for model in content.get('Models') or ()]


def metafiles(folder: Path) -> list[Path]:
    """Those that the index names."""
    return [folder / name for name in read_metafile(folder / INDEX)['Import']]


def read_metafile(path: Path) -> dict[str, Any]:
    """What a metafile holds: 'Collections' and 'Models'."""
    return yaml.load(path.read_text(encoding='utf-8'), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))


def _entry(model: Mapping[str, Any], collection: Mapping[str, Any]) -> ZooEntry:
    origin = model.get('Converted From') or {}
    published = bool(model.get('Weights') or origin)
    return ZooEntry(
        name=model['Name'],
        config=model['Config'].removeprefix(_CONFIGS),
        family=model.get('In Collection') or '',
        weights=model.get('Weights'),
        access=origin.get('Access', 'free') if published else None,
        page=origin.get('Page', ''),
        md5=origin.get('MD5'),
        sha256=origin.get('SHA256'),
        source=origin.get('Code'),
        trunk=origin.get('Trunk'),
        results=tuple(
            Result(part['Task'], part['Dataset'], dict(part['Metrics'])) for part in model.get('Results') or ()
        ),
        metadata=dict(model.get('Metadata') or {}),
        licence=model.get('License') or (collection.get('License') if published else None),
        notes=model.get('Notes', ''),
    )
