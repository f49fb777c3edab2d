"""Which of torch's two CPU libraries multiplies float32 faster on this machine: measured once, then kept.

A linear layer is three products, its outputs, the gradient of its tokens and that of its weight, and each has its own
answer. What was found lies in the cache folder, in a file for each processor and torch, and all later processes go by
it: the two libraries round differently, so that a choice that changed from one run to the next would change the last
bits of what a resumed training computes. For the same reason it is one thread that multiplies, by the time that the
processor gave to it: neither other work on the machine nor the number of threads of a run changes the answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import building
from .processor import library_versions, processor, steering_variables

VARIABLE = 'MMVITDENSE_LINEAR'
"""Environment variable: 'torch' for torch's own choice everywhere, 'onednn' for oneDNN on every CPU that has it."""
FORMS = ('outputs', 'tokens', 'weight')
"""What a product gives: the outputs of a layer, or the gradient of its tokens or of its weight."""
SHAPE = (512, 768, 2304)
"""What is multiplied to find out, rows and channels in and out: queries, keys and values of half an image of ViT-B. On
processors where the libraries differ little they differ more in wide layers than in square ones."""
_GAIN = 1.03
"""So much faster must oneDNN be: where both are alike, noise must not decide."""
_LOSS = 0.97
"""So much slower may its product of a packed weight be, which saves a pass over the outputs for what follows."""
_PACKED = 'packed'
_ROUNDS, _ROUNDS_UNDER_LOAD = 3, 10
"""Turns of the libraries, and how many at most where the best time of a library was not had twice."""
_SAME = 1.03
_Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def onednn_product(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` by oneDNN, of dense matrices."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, 'none', [], '')


LIBRARIES: Mapping[str, _Product] = {'torch': F.linear, 'onednn': onednn_product}


@lru_cache(maxsize=1)
def onednn_forms() -> frozenset[str]:
    """The products of FORMS that oneDNN is asked for.

    Raises:
        ValueError: the environment variable has an unknown value.
    """
    choice = os.environ.get(VARIABLE, 'auto')
    if choice not in ('auto', 'torch', 'onednn'):
        raise ValueError(f"{VARIABLE} must be 'auto', 'torch' or 'onednn', got {choice!r}")
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')
    if choice == 'torch' or not available:
        return frozenset()
    if choice == 'onednn':
        return frozenset(FORMS)
    rates = kept_rates()
    return frozenset(form for form in FORMS if rates and rates[form]['onednn'] > _GAIN * rates[form]['torch'])


def packed_pays() -> bool:
    """Whether oneDNN's product of a weight in its own layout is not slower than `F.linear`, on one thread.

    That is measured once for a machine and kept too, beside what `onednn_forms` goes by; for this process alone where
    nothing can be kept, as inference has no later run that must compute the same.
    """
    if os.environ.get(VARIABLE, 'auto') == 'onednn':
        return True
    rates = _packed_rates(building.cache_root())
    return rates['onednn'] > _LOSS * rates['torch']


@lru_cache
def _packed_rates(root: Path) -> dict[str, float]:
    # Each layer of a model asks: without a cache that can be written, it is measured once all the same.
    return (_kept([_PACKED], measured_packed_rates) or measured_packed_rates())[_PACKED]


def kept_rates() -> dict[str, dict[str, float]] | None:
    """Rates of both libraries in GFLOP/s, {form: {library: rate}}, as this machine has them in its cache.

    They are measured where there are none, by one process while others wait. None, with a warning, where nothing can
    be kept: what was measured anew in every run could differ from run to run.
    """
    return _kept(FORMS, measured_rates)


def _kept(
    forms: Sequence[str], measure: Callable[[], dict[str, dict[str, float]]]
) -> dict[str, dict[str, float]] | None:
    made_for = _made_for() if forms is FORMS else {**_made_for(), 'forms': list(forms)}
    digest = hashlib.sha256(json.dumps(made_for, sort_keys=True).encode()).hexdigest()[:16]
    path = building.cache_root() / 'products' / f'{digest}.json'
    rates = _read(path, forms)
    if rates is not None:
        return rates
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with building._lock(path.parent) if os.name == 'posix' else contextlib.nullcontext():
            rates = _read(path, forms)
            if rates is None:
                rates = measure()
                temporary = path.with_name(f'.{os.getpid()}-{path.name}')
                temporary.write_text(json.dumps({'made for': made_for, 'GFLOP/s': rates}, indent=1))
                os.replace(temporary, path)
    except OSError as error:
        warnings.warn(
            f'mmvitdense: which library multiplies faster is not measured, as {path.parent} cannot be written: '
            f'{error}; torch chooses. {building.CACHE_VARIABLE} names another folder, {VARIABLE}=onednn takes oneDNN.',
            stacklevel=3,
        )
        return None
    return rates


def measured_rates(
    rows: int = SHAPE[0], ins: int = SHAPE[1], outs: int = SHAPE[2], threads: int = 1
) -> dict[str, dict[str, float]]:
    """Rates of both libraries now, the best of a few turns, for `rows` tokens and `ins` to `outs` channels.

    By default that takes 0.4 s. It runs in a thread of its own, where nothing that the caller has switched on holds:
    no autocast, no inference mode, no transform of functions. Random numbers are not drawn.

    Args:
        rows, ins, outs: Shape of the product.
        threads: One, whose own time counts, or several, by the clock.

    Returns:
        {form: {library: rate in GFLOP/s}}.
    """
    return _elsewhere(_measure, (rows, ins, outs), threads)


def measured_packed_rates() -> dict[str, dict[str, float]]:
    """As `measured_rates`, of `F.linear` and of oneDNN with a packed weight, on one thread."""
    return _elsewhere(_measure_packed, SHAPE)


def _elsewhere(measure: Callable[..., dict[str, dict[str, float]]], *args: Any) -> dict[str, dict[str, float]]:
    """What is measured in a thread of its own."""
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(measure, *args).result()
        finally:
            # Of some libraries the number holds for all threads of the process.
            pool.submit(torch.set_num_threads, before).result()


def _measure_packed(shape: tuple[int, int, int]) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    rows, ins, outs = shape
    clock = time.thread_time if time.get_clock_info('thread_time').resolution < 1e-5 else time.perf_counter
    with torch.no_grad():
        tokens, weight = _matrix(rows, ins), _matrix(outs, ins)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        products = {
            'torch': lambda: F.linear(tokens, weight),
            'onednn': lambda: onednn_product(tokens, packed, None),
        }
        return {_PACKED: _rates_of(products, 2e-9 * rows * ins * outs, clock)}


def _measure(shape: tuple[int, int, int], threads: int) -> dict[str, dict[str, float]]:
    torch.set_num_threads(threads)
    fine = time.get_clock_info('thread_time').resolution < 1e-5
    clock = time.thread_time if threads == 1 and fine else time.perf_counter
    rows, ins, outs = shape
    with torch.no_grad():
        tokens, weight, grad = (_matrix(*sides) for sides in ((rows, ins), (outs, ins), (rows, outs)))
        factors = {'outputs': (tokens, weight), 'tokens': (grad, weight.t()), 'weight': (grad.t(), tokens.t())}
        return {form: _rates(*factors[form], 2e-9 * rows * ins * outs, clock) for form in FORMS}


def _rates(left: Tensor, right: Tensor, operations: float, clock: Callable[[], float]) -> dict[str, float]:
    products = {name: partial(product, left, right, None) for name, product in LIBRARIES.items()}
    return _rates_of(products, operations, clock)


def _rates_of(
    products: Mapping[str, Callable[[], Tensor]], operations: float, clock: Callable[[], float]
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in products}
    for turn in range(_ROUNDS_UNDER_LOAD + 1):
        for name, product in products.items():
            start = clock()
            product()
            # The first turn loads libraries and makes code.
            times[name] += [clock() - start] if turn else []
        if turn >= _ROUNDS and all(_is_steady(sorted(found)) for found in times.values()):
            break
    return {name: round(operations / min(found), 1) for name, found in times.items()}


def _is_steady(times: list[float]) -> bool:
    """Whether the best time was had twice, which work of others does not give."""
    return times[1] < _SAME * times[0]


def _matrix(rows: int, columns: int) -> Tensor:
    numbers = torch.arange(rows * columns, dtype=torch.float32, device='cpu')
    return numbers.remainder_(17).sub_(8).view(rows, columns)


def _made_for() -> dict[str, Any]:
    """What the answer depends on."""
    return {
        'processor': list(processor()),
        'libraries': library_versions(),
        'variables': steering_variables(),
        'shape': list(SHAPE),
    }


def _read(path: Path, forms: Sequence[str] = FORMS) -> dict[str, dict[str, float]] | None:
    """Rates from a file, None where it is not there or is none of ours."""
    try:
        rates = json.loads(path.read_text())['GFLOP/s']
        return {form: {name: float(rates[form][name]) for name in LIBRARIES} for form in forms}
    except (OSError, ValueError, KeyError, TypeError):
        return None
