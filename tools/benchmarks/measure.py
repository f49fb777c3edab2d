"""Time, memory and agreement of the two computations of a pair."""

from __future__ import annotations

import functools
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmvitdense.apis.timing import peak_bytes, seconds_of

from .products import operations
from .subjects import Pair, build

AGREEMENT = {'float32': 1e-4, 'tf32': 2e-2, 'bfloat16': 0.1}
"""Largest difference between the outputs of the two that is accepted, as a part of their standard deviation."""
GRADIENT_AGREEMENT = {'float32': 1e-3, 'tf32': 3e-2, 'bfloat16': 0.1}
"""The same for all gradients together, as a part of their norm."""
VARIANTS = ('ours', 'baseline')


class Case(NamedTuple):
    """One row: what is measured and how."""

    subject: str
    size: int
    batch: int
    device: str
    dtype: str
    training: bool


def runner(pair: Pair, variant: str, case: Case) -> Callable[[], list[Tensor]]:
    """A call of one of the two that gives its outputs; in training with the backward pass, gradients left behind."""
    function = getattr(pair, variant)
    autocast = torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == 'bfloat16')

    def forward() -> list[Tensor]:
        with autocast:
            outputs = function(*pair.inputs)
        return [outputs] if isinstance(outputs, Tensor) else list(outputs)

    def step() -> list[Tensor]:
        pair.model.zero_grad(set_to_none=True)
        outputs = forward()
        # A loss whose gradient is neither constant nor random, so that both variants get the same one.
        torch.autograd.backward([(output.float().sin()).sum() for output in outputs])
        return [output.detach() for output in outputs]

    return step if case.training else torch.inference_mode()(forward)


def measure(case: Case, repeats: int, memory: bool) -> dict[str, Any]:
    """One row of the table: the two take turns, the one that begins changing each time.

    Raises:
        RuntimeError: They do not compute the same.
    """
    choose_products(case)
    pair = _build(*case[:4], case.training)
    runs = {variant: runner(pair, variant, case) for variant in VARIANTS}
    row: dict[str, Any] = case._asdict()
    row['pass'] = 'training step' if row.pop('training') else 'forward'
    row['baseline'] = pair.baseline_name
    if pair.same:
        row.update(check_agreement(pair, runs, case))
    else:
        for run in runs.values():
            run()
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for index in range(repeats):
        for variant in VARIANTS if index % 2 else reversed(VARIANTS):
            times[variant].append(seconds_of(runs[variant], case.device) * 1000)
    ratios = [theirs / ours for ours, theirs in zip(times['ours'], times['baseline'])]
    row.update(ours_ms=statistics.median(times['ours']), baseline_ms=statistics.median(times['baseline']))
    row.update(ratio=statistics.median(ratios), ratio_low=min(ratios), ratio_high=max(ratios))
    row['gigaoperations'] = operations(lambda: _counted(pair, runs['ours'], case))
    if case.training:
        row['kept_mb'], row['baseline_kept_mb'] = (kept_mb(pair, variant, case) for variant in VARIANTS)
    if memory and case.device == 'cuda':
        # The allocator knows what is in use; a process of its own would cost a start of CUDA.
        row['peak_mb'], row['baseline_peak_mb'] = (_peak_here(pair, runs[variant], case) for variant in VARIANTS)
    elif memory:
        del pair, runs
        _build.cache_clear()
        row['peak_mb'], row['baseline_peak_mb'] = (peak_in_new_process(case, variant) for variant in VARIANTS)
    return row


def _counted(pair: Pair, run: Callable[[], Any], case: Case) -> None:
    """A call in which a counter sees every operator, which it does not in inference mode."""
    if case.training:
        run()
    else:
        with torch.no_grad():
            pair.ours(*pair.inputs)


@functools.lru_cache(maxsize=1)
def _build(subject: str, size: int, batch: int, device: str, training: bool) -> Pair:
    """The pair of the last rows, which differ in their type alone, is kept."""
    return build(subject, size, batch, device, training)


def choose_products(case: Case) -> None:
    """Let products and convolutions in float32 round to TF32 on a GPU for 'tf32' alone; torch lets convolutions."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.dtype == 'tf32'


def kept_mb(pair: Pair, variant: str, case: Case) -> float:
    """Memory that a forward pass keeps for the backward pass, in MB, without parameters and inputs."""
    known = [*pair.model.parameters(), *pair.model.buffers(), *pair.inputs]
    own = {tensor.untyped_storage().data_ptr() for tensor in known}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    autocast = torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == 'bfloat16')
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        outputs = getattr(pair, variant)(*pair.inputs)
        total = sum(kept.values())
    del outputs
    return total / 1e6


def check_agreement(pair: Pair, runs: dict[str, Callable[[], list[Tensor]]], case: Case) -> dict[str, float]:
    """The time of a wrong result means nothing."""
    outputs, gradients = {}, {}
    for variant, run in runs.items():
        outputs[variant] = run()
        gradients[variant] = {name: p.grad for name, p in pair.model.named_parameters() if p.grad is not None}
    error = max(
        ((ours.float() - theirs.float()).abs().max() / theirs.float().std()).item()
        for ours, theirs in zip(outputs['ours'], outputs['baseline'], strict=True)
    )
    if not error < AGREEMENT[case.dtype]:
        raise RuntimeError(f'{case.subject}: the outputs differ by {error:.1e} of the standard deviation')
    found = {'difference': error}
    if case.training:
        found['gradient_difference'] = _gradient_difference(gradients['ours'], gradients['baseline'])
        if not found['gradient_difference'] < GRADIENT_AGREEMENT[case.dtype]:
            raise RuntimeError(
                f'{case.subject}: the gradients differ by {found["gradient_difference"]:.1e} of their norm'
            )
    return found


def _gradient_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    if ours.keys() != theirs.keys():
        raise RuntimeError(f'only one of the two has a gradient for {sorted(ours.keys() ^ theirs.keys())}')
    difference = sum((ours[name] - theirs[name]).double().square().sum() for name in ours)
    return (difference / sum(theirs[name].double().square().sum() for name in ours)).sqrt().item()


def peak_in_new_process(case: Case, variant: str) -> float | None:
    """Peak memory of one call, see `peak_mb`, in a process that has run nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        return pool.submit(peak_mb, case, variant, torch.get_num_threads()).result()


def peak_mb(case: Case, variant: str, threads: int) -> float | None:
    """Memory of the process at its peak during a call, in MB, beyond parameters and inputs; gradients count.

    None where the system is not Linux.
    """
    torch.set_num_threads(threads)
    choose_products(case)
    pair = build(case.subject, case.size, case.batch, case.device, case.training)
    run = runner(pair, variant, case)
    # The first call may compile and load.
    run()
    pair.model.zero_grad(set_to_none=True)
    return _megabytes(peak_bytes(run, case.device))


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _peak_here(pair: Pair, run: Callable[[], Any], case: Case) -> float | None:
    """The same in this process."""
    pair.model.zero_grad(set_to_none=True)
    return _megabytes(peak_bytes(run, case.device))
