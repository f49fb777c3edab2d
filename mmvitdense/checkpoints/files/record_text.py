"""The record of positions (`layers.RecordsPositions`) and versions of layers in the metadata of safetensors: text."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor

from mmvitdense.layers import RECORD

KEY = f'mmvitdense.{RECORD}'
VERSIONS = 'mmvitdense.versions'
_FIRST = 1
"""The version of layers that never had another one."""


def text_of_record(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """The record as metadata of a file, and the versions of layers, by which they recognise weights with old names.

    Empty where there is neither a record nor a layer that has had several versions.
    """
    metadata = getattr(state_dict, '_metadata', None) or {}
    records = {owner: values[RECORD] for owner, values in metadata.items() if RECORD in values}
    versions = {owner: values['version'] for owner, values in metadata.items() if 'version' in values}
    text = {KEY: json.dumps(records)} if records else {}
    if set(versions.values()) - {_FIRST}:
        text[VERSIONS] = json.dumps(versions)
    return text


def with_record_of_text(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> OrderedDict:
    """What was read, with the record that `text_of_record` wrote, as a state dict of `torch.save` has it."""
    state_dict = OrderedDict(tensors)
    records = json.loads((metadata or {}).get(KEY, '{}'))
    versions = json.loads((metadata or {}).get(VERSIONS, '{}'))
    if records or versions:
        state_dict._metadata = OrderedDict((owner, {'version': version}) for owner, version in versions.items())
        for owner, record in records.items():
            state_dict._metadata.setdefault(owner, {})[RECORD] = record
    return state_dict
