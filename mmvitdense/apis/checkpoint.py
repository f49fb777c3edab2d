"""Weights of a run: all of them fit the model, or none is used."""

from __future__ import annotations

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from mmvitdense.checkpoints import CheckpointError, detect, read_file
from mmvitdense.checkpoints.files.conversion_record import record_of, warn_of_guesses
from mmvitdense.checkpoints.files.reading import open_containers
from mmvitdense.checkpoints.fit.unconfirmed import warn_of_unconfirmed
from mmvitdense.frozen_weights import RECORDS, FrozenWeightsError, restore
from mmvitdense.layers import held_vit
from mmvitdense.models.backbones import PlainViT

from .errors import InputError
from .official_weights import OfficialWeights, fits_by_name, official_weights

_SHOWN = 5
_TOO_LITTLE = 0.1
"""Share of the weights that must fit for a checkpoint to be one of a similar model."""


def read_run_checkpoint(path_or_url: str | Path) -> dict[str, Any]:
    """Read a checkpoint of a training run on the CPU, without executing anything it contains.

    Args:
        path_or_url: A file written by mmengine's runner or any other that holds a state dict, or its http(s) address,
            which is fetched once into torch's hub cache.

    Returns:
        A dict with at least 'state_dict' (with EMA: the averaged weights, as mmengine stores them) and 'meta'.

    Raises:
        CheckpointError: there is no such file, it is damaged, holds objects other than tensors and what mmengine
            adds to them, or has no weights in it.
    """
    return _with_state_dict(read_file(path_or_url), os.fspath(path_or_url))


def load_model_weights(
    model: nn.Module,
    checkpoint: str | Path,
    strict: bool = True,
    trunk: str | Path | None = None,
    confirmed: bool = False,
) -> dict[str, Any]:
    """Load the weights of a checkpoint into a model and refuse a file that does not fit.

    mmengine loads what fits and logs the rest, so a model with half of its weights random would be evaluated. A file of
    other code whose layout is known, such as those that the authors of a model publish, is converted in memory.

    Args:
        model: The model, or a wrapper such as `DistributedDataParallel` around it.
        checkpoint: Path or http(s) address.
        strict: Every weight must be in the file, with its shape, and no other. If False (for fine-tuning), what does
            not fit is logged, and it is an error only when less than a tenth fits.
        trunk: For a file without the weights of its ViT, or with differences to them, the file of that ViT; by default
            the one of the `init_cfg` of the model's ViT.
        confirmed: Whether the config is the one that the weights were published with, so that options of the model
            which no file confirms need no warning.

    Returns:
        The checkpoint, with 'state_dict' and 'meta'.

    Raises:
        CheckpointError: as for `read_run_checkpoint`, or the file does not fit; the message lists the first few keys
            that are missing, unexpected and of another shape. Or it has what was trained alone (see
            `TrainedWeightsHook`), and the `init_cfg` of the model does not give the frozen weights beside. The
            model may have been changed in part.
    """
    content = read_run_checkpoint(checkpoint)
    model = model.module if is_model_wrapper(model) else model
    _bring_frozen_weights(model, content, checkpoint)
    official = None
    if not fits_by_name(model, content['state_dict']):
        official = official_weights(model, content['state_dict'], checkpoint, trunk)
    if official:
        content['state_dict'] = official.weights
    elif trunk is not None:
        raise InputError(f'{checkpoint} is no file of other code that lacks its ViT: leave out --trunk.')
    state = content['state_dict']
    _refuse_non_finite(model, state, checkpoint)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    shaped = {key: tuple(value.shape) for key, value in state.items()}
    missing, unexpected, differing = _load_into(model, state, expected, shaped)
    if not (missing or unexpected or differing):
        if not confirmed:
            _warn_of_guesses(content, model, checkpoint, official)
        return content
    message = (
        f'{checkpoint} does not fit the model {type(model).__name__}: {_listed(missing, "missing")}, '
        f'{_listed(unexpected, "unexpected")}, {_listed(differing, "of another shape")}.'
    )
    if strict:
        raise CheckpointError(f'{message} {_advice(official)}')
    fitting = [key for key in expected if shaped.get(key) == expected[key]]
    if _count(expected, fitting) < _TOO_LITTLE * _count(expected, expected):
        raise CheckpointError(f'{message} Hardly anything in it fits: it is a checkpoint of another model.')
    print_log(message, logger='current', level=logging.WARNING)
    _warn_of_guesses(content, model, checkpoint, official)
    return content


def _refuse_non_finite(model: nn.Module, state: dict[str, torch.Tensor], checkpoint: str | Path) -> None:
    """Refuse weights of a run that diverged, whose predictions are none."""
    names = dict(model.named_parameters())  # buffers may hold infinities, such as masks
    weights = {key: value for key, value in state.items() if key in names and value.layout == torch.strided}
    wrong = [
        key
        for key, value in weights.items()
        if value.is_floating_point() and not value.is_meta and not value.isfinite().all()
    ]
    if wrong:
        raise CheckpointError(
            f'{checkpoint} has {_listed(wrong, "weights that are not finite")}: the run that wrote it diverged, or the '
            'file is damaged; use an earlier checkpoint.'
        )


def _bring_frozen_weights(model: nn.Module, content: dict[str, Any], checkpoint: str | Path) -> None:
    """Complete a checkpoint of what was trained by the frozen weights, which the `init_cfg` of the model loads."""
    records = content.get(RECORDS) or []
    modules = dict(model.named_modules())
    for path in dict.fromkeys(record['module'] for record in records):
        if hasattr(modules.get(path), 'init_weights'):
            try:
                modules[path].init_weights()
            except CheckpointError as error:
                addresses = ', '.join(record['address'] for record in records if record['module'] == path)
                raise CheckpointError(
                    f'{checkpoint} has what was trained alone, and expects in {path or "the model"} the frozen weights '
                    f'of {addresses}, which cannot be loaded: {error}'
                ) from error
    try:
        restore(content['state_dict'], records, model)
    except FrozenWeightsError as error:
        raise CheckpointError(f'{checkpoint}: {error}.') from error


def _warn_of_guesses(
    content: dict[str, Any], model: nn.Module, checkpoint: str | Path, official: OfficialWeights | None
) -> None:
    """Those that a conversion recorded, or those that a file of other code leaves to the model."""
    if record := record_of(content):
        warn_of_guesses(record, checkpoint)
        return
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, nn.Module) or not isinstance(held_vit(backbone), PlainViT):
        return
    state = official.read if official else content['state_dict']
    try:
        form = official.form if official else detect(state)
    except CheckpointError:  # of no known layout, and so without anything known of it
        return
    if form.tells_options:
        warn_of_unconfirmed(form, state, backbone, f'{checkpoint} ({form.name})')


def _advice(official: OfficialWeights | None) -> str:
    """What to do with weights that do not fit."""
    if official is None:
        return 'Use the config that the checkpoint was trained with.'
    of = f', {official.generation}' if official.generation else ''
    return f'It is a file of {official.form.name}{of}: use the config that it was trained with.'


def _with_state_dict(content: Any, name: str) -> dict[str, Any]:
    """A bare state dict becomes the content of a checkpoint; prefixes of `DataParallel` go."""
    if not isinstance(content, dict):
        raise CheckpointError(f'{name} holds a {type(content).__name__}; expected a checkpoint of a model.')
    if not isinstance(content.get('state_dict'), dict):
        content = {'state_dict': open_containers(content, name)}
    saved = content['state_dict']
    state = OrderedDict(
        (key.removeprefix('module.'), value) for key, value in saved.items() if isinstance(value, torch.Tensor)
    )
    if not state:
        raise CheckpointError(f"{name} has no weights in it; expected them under 'state_dict'.")
    if hasattr(saved, '_metadata'):
        state._metadata = saved._metadata  # versions of layers, by which models recognise what they have to rename
    return {**content, 'state_dict': state, 'meta': content.get('meta') or {}}


def _load_into(
    model: nn.Module, state: dict, expected: dict[str, tuple], shaped: dict[str, tuple]
) -> tuple[list[str], list[str], list[str]]:
    """Load; return what is missing, unexpected and of another shape after the renaming that models do themselves."""
    differing = []
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        missing, unexpected = expected.keys() - shaped.keys(), shaped.keys() - expected.keys()
        differing = [
            f'{key} ({_by(shaped[key])} in the file, {_by(expected[key])} in the model)'
            for key in expected.keys() & shaped.keys()
            if shaped[key] != expected[key]
        ] or [str(error)]
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    return _own(missing), _own(unexpected), sorted(differing)


def _own(keys: Sequence[str]) -> list[str]:
    """Without the pixel means of the preprocessor: they come from the config, and versions differ in saving them."""
    return sorted(key for key in keys if not key.startswith('data_preprocessor.'))


def _listed(keys: list[str], what: str) -> str:
    if not keys:
        return f'none {what}'
    return f'{len(keys)} {what} ({", ".join(keys[:_SHOWN])}{", ..." if len(keys) > _SHOWN else ""})'


def _count(shapes: dict[str, tuple], keys: Iterable[str]) -> int:
    return sum(math.prod(shapes[key]) for key in keys)


def _by(shape: tuple[int, ...]) -> str:
    return 'x'.join(map(str, shape)) or 'scalar'
