"""How many images of a batch fit into the memory."""

from __future__ import annotations

from dataclasses import replace

from mmengine.dist import all_gather_object

from .trial import Measured, Trial

_SURELY_TOO_MUCH = 1.15
"""Part of the memory from which on a batch is not even tried, by the growth of smaller ones."""


def largest_batch(trial: Trial, sizes: list[int], wanted: int) -> Measured | None:
    """The largest batch that fits.

    On a GPU batches grow until one fails, or takes more than the memory allows. On a CPU, where a process that takes
    too much is killed, the two smallest are tried and others follow from their growth.

    Args:
        trial: What tries them.
        sizes: Images of batches that may be taken, rising.
        wanted: Images of a step of the optimizer in one process; smaller batches are summed up to that.

    Returns:
        What the batch takes, or None where not one image fits. The same in all processes: the least batch, the longest
        time, the most memory.
    """
    catches = trial.memory is not None and trial.memory.catches
    found = _grown(trial, sizes, wanted) if catches else _extrapolated(trial, sizes, wanted)
    return _agreed(found)


def _grown(trial: Trial, sizes: list[int], wanted: int) -> list[Measured]:
    found: list[Measured] = []
    for size in sizes:
        if len(found) > 1 and _predicted(found, size).memory > _SURELY_TOO_MUCH * trial.memory.budget:
            break
        measured = trial.train(size, accumulated=size < wanted)
        if measured is None or measured.memory > trial.memory.budget:
            break
        found.append(measured)
    return found


def _extrapolated(trial: Trial, sizes: list[int], wanted: int) -> list[Measured]:
    found: list[Measured] = []
    for size in sizes[:2]:
        measured = trial.train(size, accumulated=size < wanted, steps=2)
        if measured is None:
            return found
        found.append(measured)
    if trial.memory is None or len(found) < 2:
        return found
    others = [_predicted(found, size) for size in sizes[2:]]
    return [each for each in (*found, *others) if each is found[0] or each.memory <= trial.memory.budget]


def _predicted(found: list[Measured], size: int) -> Measured:
    """What a larger batch takes, by the growth between the last two."""
    one, two = found[-2:]
    more = (size - two.images) / (two.images - one.images)
    memory = two.memory + int(max(0, two.memory - one.memory) * more)
    return Measured(size, two.seconds + max(0.0, two.seconds - one.seconds) * more, memory)


def _agreed(found: list[Measured]) -> Measured | None:
    """The same batch for all processes."""
    own = found[-1].images if found else 0
    size = min(all_gather_object(own))
    if size == 0:
        return None
    measured = next(each for each in found if each.images == size)
    others = all_gather_object(measured)
    memory = None if measured.memory is None else max(each.memory for each in others)
    return replace(measured, memory=memory, seconds=max(each.seconds for each in others))
