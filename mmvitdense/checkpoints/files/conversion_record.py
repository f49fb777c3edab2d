"""What a converted file says of its conversion: its format before, its families, options of the model with guesses."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from .hub_folder import CONFIG
from .reading import CheckpointError, local_path, read_file
from .shards import paths_of

KEY = 'conversion'
"""Where the record is: in the 'meta' of a file of torch.save, as JSON in the metadata of safetensors."""


def read_record(path_or_url: str | os.PathLike) -> dict[str, Any]:
    """The record of a converted file; empty for others."""
    path = local_path(path_or_url)
    if path.endswith('.pth'):
        return record_of(read_file(path)) if zipfile.is_zipfile(path) else {}  # other files would be read once more
    path = str(paths_of(path)[0])
    if not path.endswith('.safetensors'):  # nothing else is written by a conversion
        return {}
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise CheckpointError(f'{path} is a safetensors file: run `pip install safetensors` to read it.') from error
    with safe_open(path, framework='pt') as file:
        return record_of({'meta': file.metadata()})


def record_of(content: Any) -> dict[str, Any]:
    """The record in what a checkpoint file holds; empty where there is none."""
    meta = content.get('meta') if isinstance(content, Mapping) else None
    record = meta.get(KEY) if isinstance(meta, Mapping) else None
    if isinstance(record, str):
        record = json.loads(record)
    return dict(record) if isinstance(record, Mapping) else {}


def read_config(path_or_url: str | os.PathLike) -> dict[str, Any]:
    """What config.json of transformers beside a file of weights says; empty without one, and for addresses.

    Raises:
        CheckpointError: There is one, and it is no JSON.
    """
    if '://' in os.fspath(path_or_url):
        return {}
    path = os.path.join(os.path.dirname(local_path(path_or_url)), CONFIG)
    try:
        with open(path, encoding='utf-8') as file:
            config = json.load(file)
    except OSError:
        return {}
    except ValueError as error:
        raise CheckpointError(
            f'{path} beside the weights is no JSON ({error}): copy or fetch it again, or move the weights elsewhere.'
        ) from error
    return config if isinstance(config, dict) and isinstance(config.get('model_type'), str) else {}


def warn_of_guesses(record: Mapping[str, Any], name: str | os.PathLike) -> None:
    """Log one warning for a file that was converted with guesses."""
    guesses = record.get('guesses') or {}
    if not guesses:
        return
    print_log(
        f'{name} was converted with guesses, as weights do not determine {len(guesses)} of the options: '
        f'{guesses_as_text(guesses)}. Compare them with the model; converting again with `mmvitdense convert --options '
        'NAME=VALUE` settles them.',
        logger='current',
        level=logging.WARNING,
    )


def guesses_as_text(guesses: Mapping[str, Mapping[str, Any]]) -> str:
    """The guesses of a record on one line."""
    lines = []
    for path, guess in guesses.items():
        value = f'={guess["value"]}' if 'value' in guess else ''
        lines.append(f'{path}{value} ({guess["why"]})')
    return '; '.join(lines)
