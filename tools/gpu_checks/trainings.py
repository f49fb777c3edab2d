"""Trainings through the tools: resumed ones, in mixed precision, and on two GPUs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .rows import Failed, Report, Skipped, last_lines

ROOT = Path(__file__).resolve().parents[2]
FCN = """_base_ = ['{base}']
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    decode_head=dict(
        _delete_=True, type='FCNHead', in_channels=64, in_index=0, channels=64, num_convs=1, num_classes=6,
        norm_cfg=norm_cfg, align_corners=False,
    )
)
"""
SEGMENTOR = 'configs/quickstart/vit-tiny_upernet_shapes.py'
DETECTOR = 'configs/quickstart/vitdet-tiny_mask-rcnn_shapes.py'
_NOT_DETERMINISTIC = re.compile(r'RuntimeError: (.+) does not have a deterministic implementation')
ITERATIONS = {'cuda': 350, 'cpu': 4}
LEAST_MIOU = {'cuda': 40.0, 'cpu': 0.0}
"""What a quarter of the quick start's iterations reach in float32 on a CPU, with room for mixed precision."""


def resume(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """Six iterations give the same bits as three and, in a new process, three more."""
    # mmseg counts pixels of classes by an operator that has no deterministic form either.
    options = ['randomness.deterministic=True', *_schedule(6, 3), 'train_cfg.val_interval=100']
    # A pyramid of pooled maps has no deterministic backward pass in torch, a head of convolutions has.
    plain = folder / 'vit-tiny_fcn_shapes.py'
    plain.write_text(FCN.format(base=ROOT / SEGMENTOR))
    for config in (str(plain), DETECTOR):
        with report.guard(Path(config).stem) as row:
            data = _data(folder / Path(config).stem, 12, 4)
            whole, parts = folder / f'{Path(config).stem}-whole', folder / f'{Path(config).stem}-parts'
            _train(config, data, whole, options, device)
            _train(config, data, parts, [*options, 'train_cfg.max_iters=3'], device)
            _train(config, data, parts, options, device, '--resume', str(parts / 'iter_3.pth'))
            first, second = (_weights(run / 'iter_6.pth') for run in (whole, parts))
            other = [name for name, value in first.items() if not torch.equal(value, second[name])]
            row['detail'] = f'{len(first)} tensors'
            if other:
                raise Failed(f'{len(other)} of {len(first)} tensors differ, {other[0]} first')


def training(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """A quarter of the quick start of the segmentor in mixed precision reaches a stated mIoU."""
    count = ITERATIONS[device]
    for name in names:
        with report.guard(name) as row:
            data = _data(folder / name, *((300, 60) if device == 'cuda' else (8, 4)))
            options = [*_schedule(count, count), f'param_scheduler.1.end={count}', 'default_hooks.logger.interval=100']
            options += [f'param_scheduler.1.T_max={count - 50}'] if count > 50 else ['param_scheduler=None']
            _train(SEGMENTOR, data, folder / f'run-{name}', options, device, '--amp', name)
            log = next((folder / f'run-{name}').glob('*/vis_data/scalars.json')).read_text().splitlines()
            found = [json.loads(line)['mIoU'] for line in log if 'mIoU' in line][-1]
            row.update(miou=found, detail=f'mIoU {found:.1f} after {count} iterations')
            if found < LEAST_MIOU[device]:
                raise Failed(f'{row["detail"]}, expected {LEAST_MIOU[device]:.0f}')


def two_gpus(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """Two processes train on two GPUs, and their weights are finite."""
    with report.guard() as row:
        if device == 'cpu' or torch.cuda.device_count() < 2:
            raise Skipped(f'there are {torch.cuda.device_count()} GPUs')
        row['detail'] = _several(folder, 2, device)


def sharded(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """As many processes as there are GPUs, two at most, train with weights split among them (FSDP) and in bfloat16."""
    with report.guard() as row:
        count = min(2, torch.cuda.device_count()) if device == 'cuda' else 2
        row['detail'] = _several(folder, count, device, 'configs/_base_/fsdp.py', '--amp', 'bfloat16')
        row['detail'] += f', {count} processes'


def _several(folder: Path, count: int, device: str, *more: str) -> str:
    """A training of several processes, whose weights are finite in the end."""
    data = _data(folder, 12, 4)
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={count}']
    schedule = _schedule(4, 4)
    _train(DETECTOR, data, folder / 'run', schedule, device, *more, '--launcher', 'pytorch', launcher=launcher)
    weights = _weights(folder / 'run/iter_4.pth')
    if not all(value.isfinite().all() for value in weights.values()):
        raise Failed('weights are not finite')
    return f'{len(weights)} tensors'


def _schedule(iterations: int, checkpoint_every: int) -> list[str]:
    return [
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={iterations}',
        f'default_hooks.checkpoint.interval={checkpoint_every}',
        'default_hooks.checkpoint.max_keep_ckpts=-1',
    ]


def _data(folder: Path, training: int, validation: int) -> Path:
    from mmvitdense.datasets.shapes import write_shapes

    return write_shapes(folder / 'shapes', training, validation, image_size=(128, 128), seed=0)


def _train(
    config: str, data: Path, work_dir: Path, options: list[str], device: str, *more: str, launcher: Sequence[str] = ()
) -> None:
    roots = [f'{split}_dataloader.dataset.data_root={data}' for split in ('train', 'val', 'test')]
    roots += [f'{split}_evaluator.ann_file={data}/annotations/instances_validation.json' for split in ('val', 'test')]
    if config != DETECTOR:
        roots = roots[:3]
    overlays = [argument for argument in more if argument.endswith('.py')]
    more = tuple(argument for argument in more if argument not in overlays)
    command = [*(launcher or [sys.executable]), 'tools/train.py', config, *overlays]
    command += ['--work-dir', str(work_dir), *more]
    environment = {**os.environ, **({'CUDA_VISIBLE_DEVICES': ''} if device == 'cpu' else {})}
    command += ['--cfg-options', *roots, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    output = done.stdout + done.stderr
    if done.returncode and (found := _NOT_DETERMINISTIC.search(output)):
        raise Skipped(f'torch has no deterministic {found[1]}')
    if done.returncode:
        raise Failed(f'exit code {done.returncode} of {" ".join(command[1:5])}: {last_lines(output)}')


def _weights(path: Path) -> dict[str, torch.Tensor]:
    from mmvitdense.apis.checkpoint import read_run_checkpoint

    return read_run_checkpoint(path)['state_dict']
