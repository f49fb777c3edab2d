"""Fewer steps for less data than a recipe is meant for."""

from __future__ import annotations

from typing import Any

_EPOCHS = 50
_LEAST = 1000
_EVALUATIONS = 10


def short_schedule(cfg: Any, images: int) -> tuple[dict[str, Any], str]:
    """Options of a schedule of about 50 rounds of small data, and a sentence that says so; neither where it is long.

    A recipe of 184,375 iterations of COCO would show 200 images thousands of times. The rate falls as half a cosine.

    Args:
        cfg: The config.
        images: Number of training images.
    """
    loop = cfg.get('train_cfg') or {}
    longest = loop.get('max_iters')
    if not longest or loop.get('by_epoch', False):
        return {}, ''
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    steps = max(_LEAST, round(_EPOCHS * images / batch))
    if steps > longest / 2:
        return {}, ''
    warmup = steps // 20
    interval = max(1, steps // _EVALUATIONS)
    options = {
        'train_cfg': {'max_iters': steps, 'val_interval': interval},
        'param_scheduler': [
            {'type': 'LinearLR', 'start_factor': 0.001, 'by_epoch': False, 'begin': 0, 'end': warmup},
            {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': warmup, 'end': steps, 'T_max': steps - warmup},
        ],
        'default_hooks.checkpoint.interval': interval,
    }
    return options, f'{steps} iterations of {batch} images in the place of {longest}, for {images} images.'
