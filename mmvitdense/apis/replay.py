"""Running a batch again that gave numbers which were not finite."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner

from mmvitdense.checkpoints import CheckpointError, read_file
from mmvitdense.compat import while_tools_run
from mmvitdense.datasets.bad_images import guard_images
from mmvitdense.engine.bad_batch import load_samples
from mmvitdense.engine.non_finite_source import Source, find_source
from mmvitdense.engine.random_state import set_random_state

from .build import build_model
from .checkpoint import load_model_weights
from .config import load_config
from .errors import InputError


@while_tools_run()
def replay_batch(
    config: Any, file: str | Path, checkpoint: str | Path | None = None, device: str = 'cpu'
) -> tuple[torch.nn.Module, Any, Source]:
    """Load a batch again as it was, and run forward and backward pass on it.

    Args:
        config: The config of the run (the copy in its work dir), as for `train_model`.
        file: `bad_batch_iter_N.pth` of the work dir.
        checkpoint: Weights to use in place of those in the file; needed if it has none, as of a batch that was passed
            over.
        device: Where the model runs.

    Returns:
        The model (in training mode, with gradients), the batch as its loader gives it, and where numbers that are not
        finite came up first: `Source.place` is None if all are finite.

    Raises:
        InputError, CheckpointError: the file or the checkpoint cannot be used.
    """
    cfg = load_config(config)
    content = read_file(file)
    if not isinstance(content, dict) or 'random_state' not in content:
        raise CheckpointError(f'{file} is not a bad_batch_iter_N.pth that a training run wrote.')
    if content['samples'] is None:
        raise InputError(f'{file} does not record the samples of the batch: the run had no RepeatableHook.')
    model = build_model(cfg)
    if checkpoint is not None:
        load_model_weights(model, checkpoint)
    elif content['state_dict'] is not None:
        model.load_state_dict(content['state_dict'])
    else:
        raise InputError(f'{file} has no weights, as the run went on; give a checkpoint of the run.')
    loader = Runner.build_dataloader({**cfg.train_dataloader, 'num_workers': 0, 'persistent_workers': False})
    guard_images(loader.dataset)
    batch = load_samples(loader.dataset, loader.collate_fn, content['seed'], content['samples'])
    set_random_state(content['random_state'])
    model = model.to(device).train()
    return model, batch, find_source(model, batch, _precision(cfg, device))


def _precision(cfg: Any, device: str) -> AbstractContextManager:
    """Mixed precision if the run had it."""
    wrapper = cfg.optim_wrapper
    if not str(wrapper.get('type', '')).endswith('AmpOptimWrapper'):
        return nullcontext()
    kind = torch.device(device).type
    default = 'bfloat16' if kind == 'cpu' else 'float16'
    return torch.autocast(kind, dtype=getattr(torch, str(wrapper.get('dtype') or default)))
