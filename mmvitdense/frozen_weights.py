"""Frozen weights that a file brings: checkpoints may leave them out, say which they were, and get them back.

A checkpoint without them holds under `RECORDS` one record for each part of the model that loaded a file::

    {'module': 'backbone.vit', 'address': 'https://...', 'sha256': '...', 'sums': {name: [sum, weighted sum, size]}}

`sha256` is of the weights in the order of their names. Where weights are resized when they are loaded, another
processor may round otherwise, which changes the hash: the sums then decide, within `TOLERANCE` of the size of a
weight.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

RECORDS = 'frozen_weights'
"""Key of a checkpoint."""
TOLERANCE = 1e-6
_NOTE = '_weights_of_file'


class FrozenWeightsError(ValueError):
    """The frozen weights that a checkpoint expects are not in the model; the message says which these are."""


class Loaded(NamedTuple):
    """Where weights come from: the path of the module that loaded them, and the address of the file."""

    module: str
    address: str


def note_loaded(module: nn.Module, address: str | os.PathLike, names: Collection[str]) -> None:
    """Remember that the weights `names` of a module are those of a file."""
    vars(module)[_NOTE] = (os.fspath(address), frozenset(names))


def forget_loaded(model: nn.Module, names: Collection[str]) -> None:
    """Take back what `note_loaded` says of these weights of a model, which have other values now."""
    for path, module in model.named_modules():
        if _NOTE in vars(module):
            address, noted = vars(module)[_NOTE]
            own = {name.removeprefix(f'{path}.') if path else name for name in names}
            vars(module)[_NOTE] = (address, noted - own)


def loaded_weights(model: nn.Module) -> dict[str, Loaded]:
    """{name of a parameter: where it comes from} for all that files have brought, of inner modules last."""
    known = dict(model.named_parameters())
    found = {}
    for path, module in model.named_modules():
        address, names = vars(module).get(_NOTE, ('', ()))
        full = {f'{path}.{name}' if path else name for name in names}
        found.update((name, Loaded(path, address)) for name in known if name in full)
    return found


def frozen_of_files(model: nn.Module) -> dict[str, Loaded]:
    """Those of `loaded_weights` that are not trained."""
    parameters = dict(model.named_parameters())
    return {name: origin for name, origin in loaded_weights(model).items() if not parameters[name].requires_grad}


def records_of(model: nn.Module, frozen: MutableMapping[str, Loaded]) -> list[dict[str, Any]]:
    """The records of these weights of a model, one for each origin."""
    parameters = dict(model.named_parameters())
    return [
        {
            'module': origin.module,
            'address': origin.address,
            **_fingerprint({n: parameters[n] for n, of in frozen.items() if of == origin}),
        }
        for origin in dict.fromkeys(frozen.values())
    ]


def restore(state_dict: MutableMapping[str, Tensor], records: Iterable[dict[str, Any]], model: nn.Module) -> list[str]:
    """Add to a state dict the frozen weights that it lacks, from a model that has loaded them itself.

    Args:
        state_dict: Of a checkpoint, changed in place.
        records: Of that checkpoint.
        model: A model whose `init_cfg` has brought the frozen weights.

    Returns:
        Names of what was added.

    Raises:
        FrozenWeightsError: The model has loaded no such weights, or others.
    """
    loaded, parameters, added = loaded_weights(model), dict(model.named_parameters()), []
    for record in records:
        expected = record['sums']
        if absent := [name for name in expected if name not in loaded]:
            raise FrozenWeightsError(
                f'{_wanted(record)}, of which the model has loaded no {absent[0]} ({len(absent)} of {len(expected)} '
                f"weights are not there): give that part init_cfg=dict(type='ViTPretrained', checkpoint=...) with it"
            )
        own = {name: parameters[name] for name in expected}
        found = _fingerprint(own)
        if found['sha256'] != record['sha256']:
            _compare(record, found, loaded[next(iter(own))].address)
        missing = [name for name in own if name not in state_dict]
        state_dict.update((name, own[name].detach()) for name in missing)
        added += missing
    return added


def _compare(record: dict[str, Any], found: dict[str, Any], address: str) -> None:
    """Refuse other weights; the same, rounded otherwise, are named in the log."""
    for name, (*sums, size) in record['sums'].items():
        *others, _ = found['sums'][name]
        if max(abs(one - other) for one, other in zip(sums, others)) > TOLERANCE * max(size, 1e-12):
            raise FrozenWeightsError(
                f'{_wanted(record)}, and the model has loaded other weights from {address}, first {name}: give that '
                'part the file that the checkpoint was trained with'
            )
    from mmengine.logging import print_log

    print_log(
        f'The frozen weights of {address} differ from those of the checkpoint by rounding: they were resized on another'
        ' machine',
        logger='current',
        level=logging.WARNING,
    )


def _wanted(record: dict[str, Any]) -> str:
    return (
        f'the checkpoint has what was trained alone, and expects in {record["module"] or "the model"} the frozen '
        f'weights of {record["address"]} (sha256 {record["sha256"][:12]}...)'
    )


def _fingerprint(weights: dict[str, Tensor]) -> dict[str, Any]:
    digest, sums = hashlib.sha256(), {}
    for name in sorted(weights):
        weight = weights[name].detach().cpu().contiguous()
        digest.update(f'{name} {weight.dtype} {tuple(weight.shape)}'.encode())
        digest.update(weight.flatten().view(torch.uint8).numpy())
        values = weight.double().flatten()
        # A fixed pattern of signs and sizes, so that weights in another order have another sum.
        pattern = torch.arange(len(values), dtype=torch.float64).mul_(0.7).cos_()
        sums[name] = [values.sum().item(), (values @ pattern).item(), values.abs().sum().item()]
    return {'sha256': digest.hexdigest(), 'sums': sums}
