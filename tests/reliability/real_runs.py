"""Runs of detectors and segmentors by `train_model`, in processes of their own that can be killed."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmengine.runner.runner
import torch

from mmvitdense.apis.errors import run_tool
from mmvitdense.apis.train import train_model
from tests.integration.workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR

from . import kill_at  # noqa: F401, registers the hook

# What the server of processes has imported is there at once; mmvitdense, by which mmdet can be imported, came first.
for _module in ('mmdet.models', 'mmdet.datasets', 'mmdet.evaluation', 'mmseg.models', 'mmseg.datasets'):
    importlib.import_module(_module)

LENGTH = 12
_RUN = {
    'train_cfg.max_iters': LENGTH,
    'train_cfg.val_interval': 4,
    'default_hooks.checkpoint.interval': 4,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'default_hooks.checkpoint.rule': 'greater',
    'default_hooks.logger.interval': 1,
}
_EPOCHS = {
    'train_cfg': {'_delete_': True, 'type': 'EpochBasedTrainLoop', 'max_epochs': 2, 'val_interval': 1},
    'train_dataloader.sampler': {'_delete_': True, 'type': 'DefaultSampler', 'shuffle': True},
    'log_processor.by_epoch': True,
    'default_hooks.checkpoint.by_epoch': True,
    'default_hooks.checkpoint.interval': 1,
}
_EMA = [{'type': 'EMAHook', 'momentum': 0.1}]


@dataclass(frozen=True)
class Recipe:
    """A config with options, to be trained by a number of processes."""

    config: Path
    options: dict[str, Any]
    processes: int = 1
    hooks: list[dict] = field(default_factory=list)

    def all_options(self, hooks: list[dict]) -> dict[str, Any]:
        """Options for `train_model`, with hooks that are registered besides."""
        return {**self.options, 'custom_hooks': [*self.hooks, *hooks]}


def _recipe(task: str, workers: int = 2, processes: int = 1, hooks: list[dict] | None = None, **options: Any) -> Recipe:
    config, tiny, best = {
        'detector': (DETECTOR, TINY_DETECTOR, 'coco/bbox_mAP_50'),
        'segmentor': (SEGMENTOR, {**TINY_SEGMENTOR, 'train_dataloader.dataset.pipeline.2.prob': 0.5}, 'aAcc'),
    }[task]
    named = {name.replace('__', '.'): value for name, value in options.items()}
    loading = {'train_dataloader.num_workers': workers, 'train_dataloader.persistent_workers': workers > 0}
    # As many images in a step whatever the number of processes.
    loading['train_dataloader.batch_size'] = 4 // processes
    loading['val_dataloader.batch_size'] = 1
    checkpoint = {'default_hooks.checkpoint.save_best': best}
    return Recipe(config, {**tiny, **_RUN, **checkpoint, **loading, **named}, processes, hooks or [])


RECIPES = {
    'detector, 2 workers': _recipe('detector'),
    'detector, no workers, averaged weights': _recipe('detector', workers=0, hooks=_EMA),
    'detector, epochs, summed gradients': _recipe('detector', optim_wrapper__accumulative_counts=2, **_EPOCHS),
    'segmentor, 2 workers, averaged weights': _recipe('segmentor', hooks=_EMA),
    'segmentor, no workers': _recipe('segmentor', workers=0),
    'segmentor, summed gradients': _recipe('segmentor', optim_wrapper__accumulative_counts=3),
    'segmentor, epochs': _recipe('segmentor', **_EPOCHS),
    'segmentor, two processes': _recipe('segmentor', processes=2),
    'detector, two processes, averaged weights': _recipe('detector', processes=2, workers=1, hooks=_EMA),
    'segmentor, two processes, summed gradients': _recipe(
        'segmentor', processes=2, workers=0, optim_wrapper__accumulative_counts=2
    ),
}


class Training:
    """A run in processes of its own, in a group as a terminal makes one.

    Args:
        recipe: What to train.
        folder: Where `data/shapes` is.
        work_dir: Where it writes; what it prints goes to a file of the same name with `.log` for each process.
        resume: Whether it goes on.
        hooks: Hooks besides.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, work_dir: str, resume: bool = False, hooks: list[dict] | None = None
    ):
        self.logs = [folder / f'{work_dir}.{rank}.log' for rank in range(recipe.processes)]
        port = _free_port()
        self._processes = []
        for rank, log in enumerate(self.logs):
            described = (rank, recipe, str(folder), work_dir, resume, hooks or [], str(log), port)
            self._processes.append(_context.Process(target=_enter, args=described))
        for process in self._processes:
            process.start()

    @property
    def pids(self) -> list[int]:
        """The processes that train."""
        return [process.pid for process in self._processes]

    def wait(self, limit: float = 600) -> list[int | None]:
        """Exit codes, None of a process that has not ended in time, which is then killed."""
        end = time.monotonic() + limit
        for process in self._processes:
            process.join(max(0, end - time.monotonic()))
        codes = [process.exitcode for process in self._processes]
        for process in self._processes:
            process.kill()
        return codes

    def send(self, number: int, group: bool) -> None:
        """Send a signal to the processes that train, or to all of their groups, with those that load data."""
        for process in self.pids:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(process, number)

    def wait_for(self, text: str, limit: float = 600) -> bool:
        """Wait until the first process has printed something."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self._processes[0].is_alive():
            if self.logs[0].exists() and text in self.logs[0].read_text():
                return True
            time.sleep(0.01)
        return False

    def left(self, limit: float = 120) -> list[int]:
        """Processes of the groups that still live after a while, although those that train have ended."""
        end = time.monotonic() + limit
        while (alive := [process for group in self.pids for process in _living(group)]) and time.monotonic() < end:
            time.sleep(0.05)
        return alive

    def printed(self) -> str:
        """What all processes printed."""
        return '\n'.join(log.read_text() for log in self.logs if log.exists())


def _enter(
    rank: int, recipe: Recipe, folder: str, work_dir: str, resume: bool, hooks: list[dict], log: str, port: int
) -> None:
    os.setpgid(0, 0)
    # Shells let what they start in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(folder)
    torch.set_num_threads(1)
    mmengine.runner.runner.collect_env = dict  # asks compilers for their versions, which takes seconds
    launcher = 'none'
    if recipe.processes > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(recipe.processes),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
        )
        launcher = 'pytorch'
    sys.argv = ['tools/train.py', str(recipe.config), '--work-dir', work_dir]
    sys.exit(
        run_tool(
            lambda: _train(
                recipe.config,
                work_dir,
                'auto' if resume else None,
                cfg_options=recipe.all_options(hooks),
                launcher=launcher,
            )
        )
    )


def _train(*arguments: Any, **options: Any) -> None:
    train_model(*arguments, **options)


def _living(group: int) -> list[int]:
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            state, _, of_group = path.read_text().rpartition(')')[2].split()[:3]
            if int(of_group) == group and state != 'Z':
                found.append(int(path.parent.name))
    return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


_context = multiprocessing.get_context('forkserver')
_context.set_forkserver_preload([__name__])
