"""What a process uses up: memory, threads, descriptors, files that it leaves behind."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_SHARED = Path('/dev/shm')


@contextmanager
def own_temporary_files() -> Iterator[None]:
    """Let temporary files of this process go to a folder of its own, so that those of others do not count."""
    with tempfile.TemporaryDirectory() as folder, mock.patch('tempfile.tempdir', folder):
        yield


@dataclass
class Use:
    """What this process, and those that it started, use now.

    Attributes:
        memory: MB of this process that are in memory and not of files.
        threads: Of this process.
        descriptors: Names of what it has open.
        children: Processes that it started.
        files: Temporary files, within `own_temporary_files`, and memory that it shares with others by name.
    """

    memory: float
    threads: int
    descriptors: list[str]
    children: int
    files: set[str]

    @classmethod
    def now(cls) -> Use:
        """Look, on Linux."""
        gc.collect()
        status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
        opened = []
        for path in Path('/proc/self/fd').iterdir():
            try:
                opened.append(os.readlink(path))
            except OSError:  # that of the folder itself
                continue
        children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
        files = {str(path) for path in Path(tempfile.gettempdir()).iterdir()}
        files |= {str(path) for path in _SHARED.glob(f'torch_{os.getpid()}_*')}
        memory = int(status['RssAnon'].split()[0]) / 1024
        return cls(memory, int(status['Threads']), sorted(opened), len(children), files)

    def grown(self, before: Use, megabytes: float) -> list[str]:
        """What is more than it was, one line for each kind."""
        found = []
        if self.memory > before.memory + megabytes:
            found.append(f'memory {before.memory:.0f} -> {self.memory:.0f} MB')
        if self.threads > before.threads:
            found.append(f'threads {before.threads} -> {self.threads}')
        if len(self.descriptors) > len(before.descriptors):
            new = [name for name in self.descriptors if name not in before.descriptors]
            found.append(f'descriptors {len(before.descriptors)} -> {len(self.descriptors)}: {new[:5]}')
        if self.children > before.children:
            found.append(f'processes {before.children} -> {self.children}')
        new = self.files - before.files
        if new:
            found.append(f'temporary files {sorted(new)[:5]}')
        return found


@HOOKS.register_module()
class UseHook(Hook):
    """Notes what a run uses after each `interval` iterations, when the loaders of validations have gone.

    Args:
        interval: Iterations.
    """

    seen: list[Use] = []
    """Of the last run in this process."""

    def __init__(self, interval: int):
        self.interval = interval
        type(self).seen = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look before an iteration, that is after a validation."""
        if runner.iter and runner.iter % self.interval == 0:
            self.seen.append(Use.now())


def growth_of_training(megabytes: float) -> list[str]:
    """What the last run with a `UseHook` used more of at its end than after its first two looks."""
    first, last = UseHook.seen[1], UseHook.seen[-1]
    return last.grown(first, megabytes)


def growth_of_inference(inferencer: Any, images: list[Any], count: int, megabytes: float) -> list[str]:
    """What `count` inferences used more of at their end than after the first tenth of them."""
    first = None
    for place in range(count):
        inferencer(images[place % len(images)])
        if place == count // 10:
            first = Use.now()
    return Use.now().grown(first, megabytes)


def check_resources(folder: Path, iterations: int, evaluations: int, inferences: int) -> int:
    """Train, evaluate and infer with a detector and a segmentor; print what grew and return the exit code."""
    with own_temporary_files():
        return _check(folder, iterations, evaluations, inferences)


def _check(folder: Path, iterations: int, evaluations: int, inferences: int) -> int:
    from mmvitdense.apis.inference import Inferencer
    from mmvitdense.apis.train import train_model
    from mmvitdense.datasets.shapes import write_shapes
    from tests.integration.workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR, schedule

    write_shapes(folder / 'data' / 'shapes', 24, 6, image_size=64, seed=0)
    os.chdir(folder)
    images = sorted(str(path) for path in Path('data/shapes/images/validation').iterdir())
    interval = iterations // evaluations
    failures = 0
    for config, tiny in ((SEGMENTOR, TINY_SEGMENTOR), (DETECTOR, TINY_DETECTOR)):
        options = {**tiny, **schedule(iterations, interval), 'train_cfg.val_interval': interval}
        options |= {'default_hooks.checkpoint.max_keep_ckpts': 2, 'default_hooks.logger.interval': interval}
        options |= {'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': False}
        # Started anew for each validation.
        options |= {'val_dataloader.num_workers': 1, 'val_dataloader.persistent_workers': False}
        options |= {'custom_hooks': [{'type': 'mmengine.UseHook', 'interval': interval}]}
        runner = train_model(config, work_dir=config.stem, cfg_options=options)
        trained = growth_of_training(megabytes=0.02 * iterations)
        print(f'{config.stem}: memory at each evaluation {[round(use.memory) for use in UseHook.seen]} MB')
        inferencer = Inferencer(config, f'{config.stem}/iter_{runner.max_iters}.pth', cfg_options=tiny)
        inferred = growth_of_inference(inferencer, images, inferences, megabytes=0.02 * inferences)
        for what, grown in (('training', trained), ('inference', inferred)):
            failures += bool(grown)
            print(f'{config.stem}, {what}: {"; ".join(grown) or "nothing grew"}')
    return min(1, failures)
