"""The record of positions (``layers.RecordsPositions``) in the metadata of safetensors, which hold text alone."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor

from mmvitdense.layers import RECORD

KEY = f'mmvitdense.{RECORD}'


def text_of_record(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """The record as metadata of a file; empty where there is none."""
    metadata = getattr(state_dict, '_metadata', None) or {}
    records = {owner: values[RECORD] for owner, values in metadata.items() if RECORD in values}
    return {KEY: json.dumps(records)} if records else {}


def with_record_of_text(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> OrderedDict:
    """What was read, with the record that ``text_of_record`` wrote, as a state dict of ``torch.save`` has it."""
    state_dict = OrderedDict(tensors)
    records = json.loads((metadata or {}).get(KEY, '{}'))
    if records:
        state_dict._metadata = OrderedDict((owner, {RECORD: record}) for owner, record in records.items())
    return state_dict
