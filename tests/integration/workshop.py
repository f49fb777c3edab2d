"""A folder with a small built-in data set in which the tools run as a person runs them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.warm_python import REPOSITORY, WarmPython, run_fresh

DETECTOR = REPOSITORY / 'configs/quickstart/vitdet-tiny_mask-rcnn_shapes.py'
SEGMENTOR = REPOSITORY / 'configs/quickstart/vit-tiny_upernet_shapes.py'

_TINY_VIT = {
    'model.backbone.embed_dims': 32,
    'model.backbone.num_layers': 2,
    'model.backbone.num_heads': 2,
    'model.backbone.feedforward_channels': 64,
    'model.backbone.img_size': 64,
    'model.backbone.pretrain_img_size': 64,
    'model.backbone.window_size': 4,
    'model.backbone.global_blocks': (1,),
    'model.neck.in_channels': 32,
}
TINY_DETECTOR = {
    **_TINY_VIT,
    'model.data_preprocessor.pad_size_divisor': 64,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 2,
    'train_dataloader.dataset.pipeline.3.scale': (64, 64),
    'val_dataloader.dataset.pipeline.1.scale': (64, 64),
    'test_dataloader.dataset.pipeline.1.scale': (64, 64),
    'default_hooks.logger.interval': 1,
}
# Without dropout, flips and batch norm, so that nothing depends on how a batch is split.
TINY_SEGMENTOR = {
    **_TINY_VIT,
    'model.data_preprocessor.size': (64, 64),
    'model.decode_head.norm_cfg': {'type': 'GN', 'num_groups': 8},
    'model.auxiliary_head.norm_cfg': {'type': 'GN', 'num_groups': 8},
    'model.decode_head.dropout_ratio': 0.0,
    'model.auxiliary_head.dropout_ratio': 0.0,
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.pipeline.2.prob': 0.0,
    'default_hooks.logger.interval': 1,
}


def schedule(iterations: int, checkpoint_every: int) -> dict[str, Any]:
    """Options for a run of a few iterations that evaluates at its end."""
    return {
        'train_cfg.max_iters': iterations,
        'train_cfg.val_interval': iterations,
        'default_hooks.checkpoint.interval': checkpoint_every,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
    }


# What the tools import when they train, test and draw detectors and segmentors.
IMPORTED_BY_TOOLS = (
    *('mmvitdense', 'mmvitdense.apis.train', 'mmvitdense.apis.test', 'mmvitdense.apis.inference'),
    *('mmdet.datasets', 'mmdet.engine', 'mmdet.evaluation', 'mmdet.models', 'mmdet.visualization'),
    *('mmseg.datasets', 'mmseg.engine', 'mmseg.evaluation', 'mmseg.models', 'mmseg.visualization'),
    *('mmvitdense.models.detection', 'mmvitdense.models.segmentation', 'mmvitdense.checkpoints.formats'),
)

# torchrun starts interpreters, each of which would import everything; its agent forks as well.
UNDER_TORCHRUN = """
import runpy
import sys

from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def program():
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name='__main__')


settings = dict(rdzv_backend='c10d', rdzv_endpoint='localhost:0', max_restarts=0, start_method='fork')
elastic_launch(LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=int(sys.argv[1]), **settings), program)()
"""


class Workshop:
    """Runs tools in a folder that holds `data/shapes`."""

    def __init__(self, folder: Path, python: WarmPython):
        self.folder = folder
        self._python = python

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(
        self,
        tool: str,
        *arguments: Any,
        options: dict | None = None,
        exit_code: int = 0,
        processes: int = 1,
        fresh: bool = False,
        torchrun: bool = False,
    ) -> subprocess.CompletedProcess:
        """Run a tool to its end and check its exit code.

        Args:
            tool: Name of the file.
            arguments: Of its command line.
            options: What follows `--cfg-options`.
            exit_code: The one that is expected, of each process.
            processes: How many run together.
            fresh: In an interpreter that has imported nothing; else in forks of one with what tools import.
            torchrun: As processes that the agent behind torchrun forks and watches; else with variables like its own.
        """
        command = self._command(tool, arguments, options, processes)
        if fresh:
            done = run_fresh(command, self.folder)
        elif torchrun:
            done = self._python.run(['-c', UNDER_TORCHRUN, processes, *command], self.folder)
        else:
            done = self._run_forked(command, processes)
        assert done.returncode == exit_code, (
            f'exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        )
        return done

    def run_and_kill(self, tool: str, *arguments: Any, options: dict, when: Callable[[], bool]) -> None:
        """Start a tool and kill it, as a power cut would, as soon as `when()` is true."""
        log = self.folder / 'killed.log'
        process = self._python.start(self._command(tool, arguments, options, 1), self.folder, log, log)
        deadline = time.monotonic() + 600
        while not when() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
        assert self._python.wait(process) == -signal.SIGKILL, f'the run ended by itself\n{log.read_text()[-3000:]}'

    def _run_forked(self, command: list[str], processes: int) -> subprocess.CompletedProcess:
        """With the variables that torchrun gives to its processes; the output is that of all."""
        with socket.create_server(('localhost', 0)) as server:
            together = {'MASTER_ADDR': 'localhost', 'MASTER_PORT': str(server.getsockname()[1])}
        started = []
        for rank in range(processes):
            files = [self.folder / f'{name}-{rank}.log' for name in ('output', 'errors')]
            for file in files:
                file.unlink(missing_ok=True)
            variables = {'WORLD_SIZE': str(processes), 'RANK': str(rank), 'LOCAL_RANK': str(rank), **together}
            variables = variables if processes > 1 else {}
            started.append((self._python.start(command, self.folder, *files, variables), files))
        codes = {self._python.wait(process) for process, _ in started}
        texts = [''.join(file.read_text() for file in kind) for kind in zip(*(files for _, files in started))]
        return subprocess.CompletedProcess(command, codes.pop() if len(codes) == 1 else codes, *texts)

    @staticmethod
    def _command(tool: str, arguments: tuple, options: dict | None, processes: int) -> list[str]:
        if processes > 1:
            arguments = (*arguments, '--launcher', 'pytorch')
        return [
            str(REPOSITORY / 'tools' / tool),
            *map(str, arguments),
            *(['--cfg-options', *pairs(options)] if options else []),
        ]


def pairs(options: dict) -> list[str]:
    """Options as the command line takes them, those inside a dict on their own."""
    flat = {
        f'{key}.{inner}' if inner else key: content
        for key, value in options.items()
        for inner, content in (value.items() if isinstance(value, dict) else [('', value)])
    }
    return [f'{key}={value}'.replace(' ', '') for key, value in flat.items()]
