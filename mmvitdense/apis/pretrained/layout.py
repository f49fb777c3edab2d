"""The files of a folder, and what `config.json` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmvitdense.apis.errors import InputError
from mmvitdense.checkpoints.files.hub_folder import CONFIG

PROGRAM = 'config.py'
CARD = 'README.md'
FORMAT = 'mmvitdense model'
VERSION = 1
_FIELDS = {'classes': list, 'config': dict, 'weights': dict}


class PretrainedError(InputError):
    """A folder that cannot be used; the message says which file, what is wrong with it, and what to do."""


def is_pretrained_folder(path: str | Path) -> bool:
    """Whether a path is a folder that `save_pretrained` wrote, whole or not: its `config.json` says so."""
    try:
        return json.loads(Path(path, CONFIG).read_text(encoding='utf-8'))['format'] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        return False


def read_description(folder: str | Path) -> dict[str, Any]:
    """What `config.json` of a folder says, with the fields that every folder has.

    Raises:
        PretrainedError: There is no such folder or file, or it is not one of this format.
    """
    path = Path(folder, CONFIG)
    if not Path(folder).is_dir():
        raise PretrainedError(f'{folder} is no folder; expected one that `mmvitdense publish` wrote.')
    try:
        description = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise PretrainedError(
            f'{folder} has no {CONFIG}: copy or fetch the folder again, or publish it again.'
        ) from None
    except (OSError, ValueError) as error:
        raise PretrainedError(f'{path} cannot be read as JSON ({error}): copy or fetch it again.') from error
    if not isinstance(description, dict) or description.get('format') != FORMAT:
        raise PretrainedError(f'{path} is no description of a model of mmvitdense: it lacks "format": "{FORMAT}".')
    if description.get('format_version') != VERSION:
        raise PretrainedError(
            f'{path} is of version {description.get("format_version")!r} of the format and this mmvitdense reads '
            f'version {VERSION}: install a newer mmvitdense.'
        )
    for name, kind in _FIELDS.items():
        if not isinstance(description.get(name), kind):
            raise PretrainedError(f'{path} has no {kind.__name__} {name!r}: copy or fetch it again.')
    return description
