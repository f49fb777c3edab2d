"""Runs of a model of ten numbers through mmengine's runner, each in a process of its own that can be killed."""

from __future__ import annotations

import copy
import multiprocessing
import os
import random
import signal
import uuid
from pathlib import Path
from typing import Any

import mmengine.runner.runner
import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.nn import functional as F

import mmvitdense  # noqa: F401

SIZE = 12


class Samples:
    """Twelve vectors of three numbers, each "augmented" with draws from all generators."""

    metainfo = {'classes': ('common', 'rare')}

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        drawn = torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()])
        return {'inputs': torch.full((3,), float(index)) / SIZE + drawn}

    def get_cat_ids(self, index: int) -> list[int]:
        return [1] if index < 2 else [0]


class Tiny(BaseModel):
    """Linear layers with dropout. In iteration `bad_at` (from 0), `poison` is added to the loss."""

    def __init__(self, bad_at: tuple[int, ...] = (), poison: str = 'loss', bad_rank: int = 0):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 1)
        self.bad_at = bad_at
        self.poison = poison
        self.bad_rank = bad_rank

    def forward(self, inputs: Any, mode: str = 'loss') -> Any:
        """The loss, or predictions that are drawn at random, as a careless evaluation would."""
        inputs = torch.stack(list(inputs))
        if mode == 'predict':
            return [{'drawn': random.random() + np.random.rand() + torch.rand(1).item()}]
        bad = MessageHub.get_current_instance().get_info('iter') in self.bad_at and get_rank() == self.bad_rank
        features = self.norm(self.first(inputs))
        if bad and self.poison == 'features':
            features = self.norm(self.first(inputs * float('inf')))
        if bad and self.poison == 'error':
            self.first(inputs * float('nan'))
            raise ValueError('matrix contains invalid numeric entries')
        loss = F.dropout(self.last(features), 0.5).square().mean()
        if bad and self.poison == 'loss':
            loss = loss + float('nan')  # with gradients that are finite
        if bad and self.poison == 'gradient':
            loss = loss + (self.last.weight.sum() * 0).sqrt()  # a finite loss
        return {'loss': loss}


class DrawnMetric(BaseMetric):
    """The sum of what an evaluation drew."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [sample['drawn'] for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {'drawn': sum(results)}


class Killer(Hook):
    """Pulls the plug before an iteration."""

    def __init__(self, at: int):
        self.at = at

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class Overflow(Hook):
    """A step of the optimizer that makes weights infinite."""

    def __init__(self, at: int):
        self.at = at

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter == self.at:
            runner.model.first.weight.data.fill_(float('inf'))


def options(work_dir: Path, loop: str = 'iter', workers: int = 0, **other: Any) -> dict[str, Any]:
    """What `train` takes, in plain values that travel to another process."""
    return {'work_dir': str(work_dir), 'loop': loop, 'workers': workers, **other}


def train(
    work_dir: str,
    loop: str,
    workers: int,
    persistent: bool = False,
    accumulate: int = 1,
    ema: bool = False,
    sampler: dict | None = None,
    batch_sampler: dict | None = None,
    length: int = 14,
    save: int = 3,
    save_by_epoch: bool | None = None,
    validate: bool = True,
    kill_at: int | None = None,
    resume: bool = False,
    seed: int | None = 5,
    method: str = 'fork',
    lr: float = 0.1,
    max_skips: int = 0,
    model: nn.Module | None = None,
    model_options: dict | None = None,
    processes: int = 1,
    hooks: tuple = (),
    compile_with: str | None = None,
    checkpoint: dict | None = None,
    dataset: Any = None,
    batch_size: int = 2,
    optim: dict | None = None,
    wrapper: dict | None = None,
) -> Runner:
    """Train in this process."""
    by_epoch = loop == 'epoch'
    save_by_epoch = by_epoch if save_by_epoch is None else save_by_epoch
    loader = dict(
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=persistent,
        dataset=dataset or Samples(),
        sampler=sampler or dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        **({'batch_sampler': batch_sampler} if batch_sampler else {}),
        **({'multiprocessing_context': method} if workers else {}),
    )
    checking = dict(
        val_cfg=dict(type='ValLoop'),
        val_dataloader=dict(
            batch_size=1,
            dataset=Samples(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        val_evaluator=[DrawnMetric()],
    )
    custom = [*hooks]
    if ema:
        custom.append(dict(type='EMAHook', momentum=0.1))
    if kill_at is not None:
        custom.append(Killer(kill_at))
    runner = Runner(
        model or Tiny(**(model_options or {})),
        work_dir,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=length, val_interval=1)
        if by_epoch
        else dict(by_epoch=False, max_iters=length, val_interval=2),
        **(checking if validate else {}),
        optim_wrapper=dict(
            accumulative_counts=accumulate,
            optimizer=dict(type='AdamW', lr=lr),
            **(optim or {}),
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=0.5, by_epoch=False, end=20)],
        default_hooks=dict(
            checkpoint=dict(
                type='mmvitdense.WholeCheckpointHook',
                **{'interval': save, 'by_epoch': save_by_epoch, 'max_keep_ckpts': 2, **(checkpoint or {})},
            ),
            repeatable=dict(type='mmvitdense.RepeatableHook'),
            finite_loss=dict(type='mmvitdense.FiniteLossHook', max_skips=max_skips),
            work_dir=dict(type='mmvitdense.WorkDirHook'),
            processes=dict(type='mmvitdense.ProcessesHook'),
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=custom,
        log_processor=dict(by_epoch=by_epoch),
        launcher='pytorch' if processes > 1 else 'none',
        randomness=dict(seed=seed),
        resume=resume,
        log_level='WARNING',
        experiment_name=f'{Path(work_dir).name}_{resume}_{uuid.uuid4()}',
        cfg=dict(
            model_wrapper_cfg=wrapper
            or dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
        ),
    )
    runner.train()
    return runner


def _enter(rank: int, processes: int, store: str, arguments: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    mmengine.runner.runner.collect_env = dict  # asks compilers for their versions, which takes seconds
    if processes > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes))
        torch.distributed.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=processes)
    # A model that comes from another process has its weights in memory that all processes share.
    train(**{**arguments, 'model': copy.deepcopy(arguments.get('model'))}, processes=processes)


server = multiprocessing.get_context('forkserver')
"""Starts processes that have this module and know nothing of the one that asks for them."""
server.set_forkserver_preload([__name__])


def run(arguments: dict[str, Any], processes: int = 1) -> list[int]:
    """Train in processes of its own; return their exit codes."""
    store = f'{arguments["work_dir"]}.{uuid.uuid4()}'
    children = [server.Process(target=_enter, args=(rank, processes, store, arguments)) for rank in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join(600)
    return [child.exitcode for child in children]
