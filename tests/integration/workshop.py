"""A folder with a small built-in data set in which the tools run as a person runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
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


class Workshop:
    """Runs tools in a folder that holds `data/shapes`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(
        self, tool: str, *arguments: Any, options: dict | None = None, exit_code: int = 0, processes: int = 1
    ) -> subprocess.CompletedProcess:
        """Run a tool to its end and check its exit code."""
        done = subprocess.run(
            self._command(tool, arguments, options, processes),
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == exit_code, (
            f'exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        )
        return done

    def run_and_kill(self, tool: str, *arguments: Any, options: dict, when: Callable[[], bool]) -> None:
        """Start a tool and kill it, as a power cut would, as soon as `when()` is true."""
        log = self.folder / 'killed.log'
        with log.open('w') as output:
            process = subprocess.Popen(
                self._command(tool, arguments, options, 1),
                cwd=self.folder,
                env=_environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            deadline = time.monotonic() + 120
            while not when() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL, f'the run ended by itself\n{log.read_text()[-3000:]}'

    @staticmethod
    def _command(tool: str, arguments: tuple, options: dict | None, processes: int) -> list[str]:
        launcher = [sys.executable]
        if processes > 1:
            launcher += ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(processes)]
            arguments = (*arguments, '--launcher', 'pytorch')
        pairs = [f'{key}={_text(value)}' for key, value in _flat(options or {}).items()]
        return [
            *launcher,
            str(REPOSITORY / 'tools' / tool),
            *map(str, arguments),
            *(['--cfg-options', *pairs] if pairs else []),
        ]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}


def _flat(options: dict) -> dict:
    """Options whose values are dicts, as the command line takes them."""
    return {
        f'{key}.{inner}' if inner else key: content
        for key, value in options.items()
        for inner, content in (value.items() if isinstance(value, dict) else [('', value)])
    }


def _text(value: Any) -> str:
    return str(value).replace(' ', '')
