"""All checks by name: what runs them, on which items, when, and for how long."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

FIRST, TOGETHER, ALONE = 'first', 'together', 'alone'


class Check(NamedTuple):
    """A check.

    Attributes:
        place: module and function of this package; called with items, device, report and a folder of its own.
        items: what it goes through, one row each: names, or 'module:function' that gives them for a device.
        when: FIRST, one after the other before all else; TOGETHER, side by side; ALONE, at the end, for measurements.
        seconds: how long one process of it may take.
        processes: how many share the items at most; 0: as many as there are.
        subject: what the table says of it.
    """

    place: str
    items: Sequence[str] | str
    when: str
    seconds: int
    processes: int
    subject: str


CHECKS: dict[str, Check] = {
    'hardware': Check('hardware:run', ('',), FIRST, 60, 1, 'bandwidth and rates of products'),
    'build': Check('suites:build', ('',), TOGETHER, 300, 1, 'the kernels compile and load'),
    'tests': Check('suites:tests', ('operators', 'modules'), TOGETHER, 400, 2, 'the tests marked cuda'),
    'sanitizer': Check(
        'suites:sanitizer',
        ('memcheck', 'racecheck', 'initcheck', 'synccheck'),
        TOGETHER,
        240,
        4,
        'compute-sanitizer over the kernels',
    ),
    'families': Check(
        'families:run', 'families:items', TOGETHER, 420, 0, 'every config in small, in three types, against the CPU'
    ),
    'compile': Check(
        'compiling:run',
        ('vitdet', 'vit-adapter', 'vit-comer'),
        TOGETHER,
        240,
        3,
        'torch.compile of backbone and neck, forward and backward',
    ),
    'resume': Check('trainings:resume', ('',), TOGETHER, 200, 1, 'a run that was resumed has the same bits'),
    'training': Check(
        'trainings:training', ('float16', 'bfloat16'), TOGETHER, 300, 2, 'the quick start in mixed precision'
    ),
    'two-gpus': Check('trainings:two_gpus', ('',), TOGETHER, 200, 1, 'a training step on two GPUs'),
    'sharded': Check('trainings:sharded', ('',), TOGETHER, 200, 1, 'training steps with FSDP on the GPUs there are'),
    'attention': Check(
        'attention:run',
        ('windows B', 'global B', 'windows H', 'global H'),
        ALONE,
        60,
        1,
        'kernels of attention with widened queries',
    ),
    'operators': Check('benchmarks:operators', ('',), ALONE, 240, 1, 'deformable attention beside others'),
    'models': Check('benchmarks:models', ('',), ALONE, 300, 1, 'whole models beside their releases, with memory'),
    'memory-format': Check('benchmarks:memory_format', ('',), ALONE, 90, 1, 'channels last or not'),
}


def function(place: str) -> Callable:
    """What 'module:function' of this package names."""
    module, _, name = place.partition(':')
    return getattr(importlib.import_module(f'{__package__}.{module}'), name)


def items_of(check: Check, device: str) -> list[str]:
    """The items of a check."""
    return list(function(check.items)(device) if isinstance(check.items, str) else check.items)
