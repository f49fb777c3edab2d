"""A first batch of each loader, a loss and a prediction, tried before a run begins; the run does not notice."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dataset import Compose
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.datasets.checks import DataError
from mmvitdense.downloads import DownloadError
from mmvitdense.engine.errors import NonFiniteError
from mmvitdense.engine.random_state import random_state, set_random_state
from mmvitdense.engine.whole_checkpoint import bare_model

from .build_errors import message_of
from .errors import InputError

_KNOWN = (InputError, DataError, CheckpointError, DownloadError, NonFiniteError)


def try_sample_batch(loader: DataLoader, key: str) -> Any | None:
    """Load the first samples of a data set, with copies of its transforms, and collate them.

    They are loaded in this process, and not by way of the sampler, of which a run may have only one pass.

    Args:
        loader: A loader.
        key: Where its settings stand in the config.

    Returns:
        The batch, or None of data without indices.

    Raises:
        InputError: A transform or the collating of samples fails.
        DataError: A file cannot be read.
    """
    if isinstance(loader.dataset, IterableDataset):
        return None
    with generators_kept():
        return collated(loader, key, load_samples(loader, key, range(batch_size_of(loader))))


def batch_size_of(loader: DataLoader) -> int:
    """Samples of a batch."""
    return loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)


def load_samples(loader: DataLoader, key: str, indices: Iterable[int]) -> list[Any]:
    """Load samples, with copies of the transforms; indices go round.

    Raises:
        InputError: There are none, or a transform fails.
        DataError: A file cannot be read.
    """
    dataset, samples = loader.dataset, []
    if not len(dataset):
        raise InputError(f'{key}.dataset holds no samples; check its paths, classes and filter_cfg.')
    with _copied_pipelines(dataset, f'{key}.dataset') as places:
        for index in indices:
            try:
                samples.append(dataset[index % len(dataset)])
            except _KNOWN:
                raise
            except Exception as error:
                raise InputError(_failed_sample(error, key, index, places)) from error
    return samples


def collated(loader: DataLoader, key: str, samples: list[Any]) -> Any:
    """Make samples one batch.

    Raises:
        InputError: They cannot be.
    """
    try:
        return loader.collate_fn(samples)
    except Exception as error:
        raise InputError(
            f'{key}: {len(samples)} samples cannot be made one batch ({type(error).__name__}: {message_of(error)}); '
            'with images of several sizes the collate_fn is pseudo_collate.'
        ) from error


def try_loss(runner: Any, batch: Any) -> None:
    """Compute the loss of a batch on a copy of the model, in training mode and in the precision of the run.

    Models whose training step is their own are left alone.

    Raises:
        InputError: The model fails on the batch.
    """
    model = bare_model(runner.model)
    if type(model).train_step is not BaseModel.train_step:
        return
    with _trial(model, 'train', runner) as trial, runner.optim_wrapper.optim_context(trial.train()):
        trial.parse_losses(trial._run_forward(trial.data_preprocessor(batch, True), mode='loss'))


def try_prediction(runner: Any, batch: Any) -> None:
    """Predict a batch of the validation with a copy of the model, as the loop of the validation does.

    Raises:
        InputError: The model fails on the batch.
    """
    model, precision = bare_model(runner.model), getattr(runner.val_loop, 'fp16', False)
    device = next((parameter.device.type for parameter in model.parameters()), 'cpu')
    with _trial(model, 'val', runner) as trial, torch.no_grad(), torch.autocast(device, enabled=precision):
        trial.eval().val_step(batch)


@contextmanager
def _trial(model: nn.Module, part: str, runner: Any) -> Iterator[nn.Module]:
    """A copy of the model, whose failures are named by the module that fails."""
    with generators_kept():
        trial = copy.deepcopy(model)
        try:
            with failures_named(trial, part, runner):
                yield trial
        finally:
            del trial
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def failures_named(model: nn.Module, part: str, runner: Any) -> Iterator[None]:
    """Turn an error of a model, or of what it is trained with, into an `InputError` that names the module that fails.

    Args:
        model: The model.
        part: 'train' or 'val'.
        runner: Whose model it is, or of whose it is a copy.
    """
    names = {id(module): name for name, module in model.named_modules()}
    try:
        yield
    except _KNOWN:
        raise
    except Exception as error:
        raise InputError(_failed(error, names, part, runner)) from error


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put all generators of random numbers back as they were."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextmanager
def _copied_pipelines(dataset: Any, key: str) -> Iterator[dict[int, str]]:
    """Let copies of the transforms work, which may count, or keep images.

    Yields:
        {id of the transform: its place in the config}.
    """
    places, originals = {}, []
    for owner, path in _owners(dataset, key):
        originals.append((owner, owner.pipeline))
        owner.pipeline = copy.deepcopy(owner.pipeline)
        transforms = owner.pipeline.transforms if isinstance(owner.pipeline, Compose) else owner.pipeline
        places |= {id(transform): f'{path}.pipeline.{number}' for number, transform in enumerate(transforms)}
    try:
        yield places
    finally:
        for owner, pipeline in originals:
            owner.pipeline = pipeline


def _owners(dataset: Any, path: str) -> Iterator[tuple[Any, str]]:
    """(data set, key) of those with a pipeline, inside of wrappers too."""
    if isinstance(getattr(dataset, 'pipeline', None), (Compose, list)):
        yield dataset, path
    inner = getattr(dataset, 'dataset', None) or getattr(dataset, '_dataset', None)
    if inner is not None:
        yield from _owners(inner, f'{path}.dataset')
    for number, part in enumerate(getattr(dataset, 'datasets', ())):
        yield from _owners(part, f'{path}.datasets.{number}')


def _failed_sample(error: Exception, key: str, index: int, places: dict[int, str]) -> str:
    transform = results = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in (frame.f_locals.get('t'), frame.f_locals.get('transform')):
            if transform is None and id(value) in places:
                transform = value
        results = results or (
            frame.f_locals.get('results') if isinstance(frame.f_locals.get('results'), dict) else None
        )
    place = f'{places[id(transform)]}: {type(transform).__name__}' if transform is not None else f'{key}.dataset: it'
    image = (results or {}).get('img_path')
    which = f'{image}' if image else f'sample {index}'
    return f'{place} fails on {which} ({type(error).__name__}: {message_of(error)}).'


def _failed(error: Exception, names: dict[int, str], part: str, runner: Any) -> str:
    if isinstance(error, torch.OutOfMemoryError) and part == 'val':
        return (
            f'One batch of the validation does not fit into the memory of the GPU ({message_of(error)}); lower '
            'val_dataloader.batch_size.'
        )
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f'One training step does not fit into the memory of the GPU ({message_of(error)}); lower '
            'train_dataloader.batch_size (and raise optim_wrapper.accumulative_counts), use --amp, or --auto.'
        )
    module: nn.Module | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        candidate = frame.f_locals.get('self')
        if isinstance(candidate, nn.Module) and id(candidate) in names:
            module = candidate
    message = message_of(error)
    place = '.'.join(filter(None, ('model', names.get(id(module), '')))) if module is not None else 'model'
    of = 'a first batch' if part == 'train' else 'a first batch of the validation'
    kind = type(module if module is not None else runner.model).__name__
    said = f'{place}: {kind} fails on {of} ({type(error).__name__}: {message})'
    if 'Expected more than 1 value per channel' in message:
        size = runner.train_loop.dataloader.batch_size
        return f'{said}; batch norm cannot train on a single value, so set train_dataloader.batch_size above {size}.'
    return f'{said}; check that sizes and channels of the model fit each other and the data.'
