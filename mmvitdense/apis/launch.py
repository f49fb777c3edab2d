"""Processes that train or test together, on GPUs (NCCL) or on CPUs (gloo)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from mmvitdense.engine.main_process import on_main_process

from .errors import InputError

__all__ = ['on_main_process', 'start_process_group']

_TIMEOUT = 600
"""Seconds after which a process that does not answer ends the run, if `env_cfg.dist_cfg` of the config has none."""


def start_process_group(cfg: Any, launcher: str) -> None:
    """Join the process group that `launcher` describes; 'none' starts nothing.

    mmengine starts it inside its runner and only with GPUs. Here it starts earlier, so that checks done by one process
    can stop all of them, and works on CPUs too: with gloo, and with a model that is not tied to a device.

    Raises:
        InputError: the environment was not set up by the launcher, or a CPU machine is asked for slurm or mpi.
    """
    cfg.launcher = launcher
    if launcher == 'none':
        return
    import torch.distributed
    from mmengine.device import get_device
    from mmengine.dist import init_dist

    if launcher == 'pytorch' and not {'RANK', 'WORLD_SIZE', 'MASTER_ADDR'} <= set(os.environ):
        raise InputError(
            '--launcher pytorch expects to be started by torchrun: '
            '`torchrun --nproc_per_node N -m mmvitdense train CONFIG --launcher pytorch`.'
        )
    options = {'timeout': _TIMEOUT, **((cfg.get('env_cfg') or {}).get('dist_cfg') or {'backend': 'nccl'})}
    if get_device() != 'cpu':
        init_dist(launcher, **options)
        return
    if launcher != 'pytorch':
        raise InputError(f'--launcher {launcher} needs GPUs and none is usable here; on CPUs use --launcher pytorch.')
    torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=options['timeout']))
    _free_of_devices(cfg)


def shards(cfg: Any) -> bool:
    """Whether the weights are split among the processes of a training, as `configs/_base_/fsdp.py` wants it."""
    return str((cfg.get('model_wrapper_cfg') or {}).get('type')).rpartition('.')[2] == 'FullyShardedModel'


def sharding_notes(cfg: Any) -> list[str]:
    """A line for a training whose weights would be split, and that has one process."""
    if not shards(cfg) or cfg.launcher != 'none':
        return []
    return ['model_wrapper_cfg: FullyShardedModel splits weights among processes, and without --launcher there is one']


def _free_of_devices(cfg: Any) -> None:
    """`DistributedDataParallel` refuses `device_ids` for a model on the CPU, and mmengine passes them by default."""
    if shards(cfg):
        return
    wrapper = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    }
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}
