"""Images a second of a model, for predictions and for training, and where the time goes."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mmvitdense.compat import while_tools_run
from mmvitdense.progress import bar

from .adapt.trial import is_out_of_memory
from .amp import check_amp_type, precision
from .build_errors import message_of
from .devices import usable_device
from .errors import InputError
from .flops import test_size
from .image_loading import ImageLoading
from .made_up import Batch, made_up_batch
from .model_parts import counted_parts, counting
from .named_models import RANDOM, load_model
from .quiet import quiet
from .rounds import Prediction, Round, TrainingStep
from .timing import peak_bytes, processor_name, seconds_of, synchronize

_PREPARATION = 'preprocessing'
_REST = {False: 'post-processing and the rest', True: 'losses and the rest'}


class BatchSpeed(NamedTuple):
    """What was measured of batches of one size.

    Attributes:
        batch: Images of a batch.
        seconds: Of each round; none where the memory is not enough.
        peak: Bytes in use at most beyond `Speed.held`; None where they are not known.
        shares: {part: its part of the time}, measured in rounds of their own.
        found: Objects an image that the model predicted; None of a segmentor and in training.
    """

    batch: int
    seconds: list[float]
    peak: int | None
    shares: dict[str, float]
    found: float | None

    @property
    def rates(self) -> tuple[float, float, float]:
        """Images a second of the median round, of the slowest and of the fastest."""
        of_median, *ends = statistics.median(self.seconds), max(self.seconds), min(self.seconds)
        return tuple(self.batch / seconds for seconds in (of_median, *ends))


class Speed(NamedTuple):
    """What was measured, and of what.

    Attributes:
        size: Height and width of the images; None where each has its own.
        training: Whether a round is a step of the training, or a prediction.
        dtype: What products are computed in.
        processor: Its name, instructions and threads.
        held: Bytes of weights and of the state of the optimizer.
        rows: One a size of batches.
        notes: What is worth knowing of the numbers.
    """

    size: tuple[int, int] | None
    training: bool
    dtype: str
    processor: str
    held: int
    rows: list[BatchSpeed]
    notes: list[str]


@while_tools_run()
def model_speed(
    config: Any,
    weights: str | None = None,
    images: list[str] | None = None,
    size: tuple[int, int] | None = None,
    batches: Iterable[int] = (1,),
    training: bool = False,
    objects: int = 7,
    device: str | None = None,
    amp: str | bool = False,
    tf32: bool = False,
    threads: int | None = None,
    warm_up: int = 3,
    rounds: int = 10,
    cfg_options: dict[str, Any] | None = None,
) -> Speed:
    """Measure a model on images in memory: preprocessing on the device, the model, and what follows it are timed,
    reading of files and the pipeline are not.

    Args:
        config: As for `find_model`.
        weights: As for `find_model`, None for random ones.
        images: Files to predict, prepared by the config's pipeline; None for noise.
        size: Height and width of the noise; by default that of the config's tests.
        batches: Sizes of batches.
        training: Time whole steps of the training (a forward and a backward pass and a step of the optimizer, whose
            rates are zero), without accumulation, on noise with labels.
        objects: Objects of an image of the training, 7 as in COCO.
        device: For example 'cpu' or 'cuda:1'; by default the first GPU if one is usable.
        amp: Mixed precision, 'float16' or 'bfloat16'; True for the config's, on a CPU always bfloat16.
        tf32: Let products in float32 round to TF32 on NVIDIA GPUs.
        threads: Of a CPU; by default torch's choice.
        warm_up: Rounds that do not count.
        rounds: Rounds that count.
        cfg_options: {dotted key: value} merged into the config.

    Raises:
        InputError, CheckpointError: Something given cannot be used, or the model does not run on what is given.
    """
    batches = [*batches]
    check_amp_type(None if amp in (True, False) else amp)
    _check_counts(size, batches, objects, threads, warm_up, rounds)
    _check_images(images, size, training)
    place = usable_device(device)
    with _threads(threads), precision(amp, tf32), quiet(logging.ERROR):
        model = load_model(config, weights or RANDOM, place, cfg_options)
        own_size = None if images else size or test_size(model.cfg, model)
        run = TrainingStep(model, place, amp) if training else Prediction(model, place, amp)
        rows = []
        with bar(len(batches) * (warm_up + rounds + 2), 'Rounds') as advance:
            for batch in batches:
                data = (
                    _loaded(model, images, batch)
                    if images
                    else made_up_batch(model.cfg, model, own_size, batch, objects if training else 0)
                )
                rows.append(_measure(model, run, data, place, warm_up, rounds, advance))
        notes = _notes(model, rows, weights, images, training)
        return Speed(own_size, training, run.dtype, _processor(place), run.held(), rows, notes)


def _check_counts(size: Any, batches: list[int], objects: int, threads: int | None, warm_up: int, rounds: int) -> None:
    if not batches:
        raise InputError('--batch: expected at least one size.')
    counts = {'--size': min(size or (1,)), '--batch': min(batches), '--objects': objects, '--rounds': rounds}
    counts['--threads'] = 1 if threads is None else threads
    for option, count in counts.items():
        if count < 1:
            raise InputError(f'{option}: expected at least 1, got {count}.')
    if warm_up < 0:
        raise InputError(f'--warm-up: expected at least 0, got {warm_up}.')


def _check_images(images: list[str] | None, size: Any, training: bool) -> None:
    if images and training:
        raise InputError('--images is for predictions: --training measures on noise with labels.')
    if images and size:
        raise InputError('--images are resized as the config says it: leave --size out, or change the pipeline.')


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loaded(model: nn.Module, images: list[str], batch: int) -> Batch:
    loading = ImageLoading(model.cfg)
    files = [images[place % len(images)] for place in range(batch)]
    return pseudo_collate([loading.prepare(loading.read(file)) for file in files])


def _measure(
    model: nn.Module, run: Round, data: Batch, device: torch.device, warm_up: int, rounds: int, advance: Callable
) -> BatchSpeed:
    """Time batches of one size; each round gets the batch as it came."""
    batch = len(data['inputs'])

    def once() -> Any:
        return run(_copied(data))

    def timed() -> float:
        given = _copied(data)
        seconds = seconds_of(lambda: run(given), device)
        advance(1)
        return seconds

    try:
        for _ in range(warm_up):
            timed()
        seconds = [timed() for _ in range(rounds)]
        shares = _shares(model, run, _copied(data), device)
        advance(1)
        found = None if run.training else _objects(once())
        if run.training:
            model.zero_grad(set_to_none=True)
        peak = peak_bytes(once, device)
        advance(1)
    except Exception as error:
        if is_out_of_memory(error):
            _empty_caches(device)
            return BatchSpeed(batch, [], None, {}, None)
        raise InputError(
            f'The model does not {"train" if run.training else "predict"} on '
            f'{"noise with made-up labels" if run.training else "these images"} ({message_of(error)}): give another '
            '--batch or --size, or another config.'
        ) from error
    return BatchSpeed(batch, seconds, peak, shares, found)


def _empty_caches(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.empty_cache()


def _copied(data: Batch) -> Batch:
    """Preprocessors put what they do into the samples that they are given."""
    return {**data, 'data_samples': [sample.clone() for sample in data['data_samples']]}


def _shares(model: nn.Module, run: Round, data: Batch, device: torch.device) -> dict[str, float]:
    """Part of the time of each part, in a round in which each waits for what it left to a GPU."""

    def read() -> float:
        synchronize(device)
        return time.perf_counter()

    found: dict[str, float] = {}
    preprocessor = model.data_preprocessor
    preprocessor.forward = counting(preprocessor.forward, _PREPARATION, read, found)
    try:
        with counted_parts(model, read, found), run.counted(read, found):
            whole = seconds_of(lambda: run(data), device)
    finally:
        del preprocessor.forward
    found[_REST[run.training]] = max(whole - sum(found.values()), 0.0)
    total = sum(found.values())
    return {name: seconds / total for name, seconds in found.items()}


def _objects(samples: list[Any]) -> float | None:
    counts = [len(sample.pred_instances) for sample in samples if 'pred_instances' in sample]
    return sum(counts) / len(counts) if counts else None


def _processor(device: torch.device) -> str:
    name = processor_name(device)
    if device.type == 'cuda':
        return f'{name}; torch {torch.__version__}'
    threads, instructions = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    return f'{name} ({instructions}), {threads} thread{"s" * (threads > 1)}; torch {torch.__version__}'


def _notes(model: nn.Module, rows: list[BatchSpeed], weights: Any, images: Any, training: bool) -> list[str]:
    notes = []
    if training:
        notes.append('A round is a whole step of the training: forward, backward, and a step of the optimizer.')
    elif any(row.found == 0 for row in rows):
        what = [word for word, given in (('weights', weights), ('--images', images)) if not given]
        notes.append(
            'The model found no objects, so that what is done for each of them, such as masks, took no time'
            + (f': give {" and ".join(what)} for numbers as in use.' if what else '.')
        )
    if getattr(model, 'test_cfg', None) and model.test_cfg.get('mode', 'whole') != 'whole':
        notes.append(f'The segmentor computes windows of {tuple(model.test_cfg.crop_size)}.')
    return notes


def as_table(speed: Speed) -> str:
    """The rows as text."""
    images = 'images as given' if speed.size is None else f'images of {speed.size[0]} x {speed.size[1]}'
    what = 'a step of the training' if speed.training else 'prediction'
    lines = [f'{what.capitalize()}, {images}, {speed.dtype}', speed.processor]
    lines.append(f'{"batch":>5}{"images/s":>12}{"slowest - fastest":>22}{"ms a batch":>13}{"memory MB":>12}')
    for row in speed.rows:
        if not row.seconds:
            lines.append(f'{row.batch:>5}   the memory is not enough')
            continue
        median, low, high = row.rates
        spread, milliseconds = f'{low:.2f} - {high:.2f}', statistics.median(row.seconds) * 1000
        memory = '-' if row.peak is None else f'{row.peak / 1e6:.0f}'
        lines.append(f'{row.batch:>5}{median:>12.2f}{spread:>22}{milliseconds:>13.1f}{memory:>12}')
    kept = 'Weights and optimizer' if speed.training else 'Weights'
    lines.append(f'{kept} take {speed.held / 1e6:.0f} MB besides.')
    if timed := [row for row in speed.rows if row.seconds]:
        lines += ['', f'{"share of the time, batch":<32}' + ''.join(f'{row.batch:>8}' for row in timed)]
        for name in timed[0].shares:
            lines.append(f'{name:<32}' + ''.join(f'{100 * row.shares.get(name, 0):>6.1f} %' for row in timed))
    return '\n'.join([*lines, *([''] if speed.notes else []), *speed.notes])


def as_data(speed: Speed) -> dict[str, Any]:
    """The same as plain data, with the seconds of each round."""
    rows = []
    for row in speed.rows:
        rates = dict(zip(('median', 'slowest', 'fastest'), row.rates)) if row.seconds else None
        rows.append({**row._asdict(), 'images_per_second': rates})
    return {**speed._asdict(), 'size': speed.size and [*speed.size], 'rows': rows}
