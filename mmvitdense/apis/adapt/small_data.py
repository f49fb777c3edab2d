"""Short schedules for less data than a recipe is meant for."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from .counters import is_kind, scaled_hooks
from .recipe import Recipe, recipe_of

_EPOCHS = 50
_LEAST = 1000
_EVALUATIONS = 10
_STEPS_OF_AN_EPOCH = 25


@dataclass(frozen=True)
class Short:
    """A short schedule.

    Attributes:
        per_step: Images of a step of the optimizer.
        steps: Steps of the optimizer.
        epochs: Rounds of the data.
        recipe: What it takes the place of.
    """

    per_step: int
    steps: int
    epochs: int
    recipe: Recipe


def shortened(cfg: Any, images: int) -> Short | None:
    """The schedule for small data: 50 rounds of it, at least 1000 steps; None where the recipe's is of that kind.

    A recipe of 184,375 steps of 64 images would show 200 images 59,000 times; one of 12 rounds of COCO would be over
    after 150 steps of 16. A step has fewer images than in the recipe where a round of the data would have less than 25
    steps otherwise.

    Args:
        cfg: The config.
        images: Number of training images.
    """
    recipe = recipe_of(cfg)
    if not recipe.length or not images:
        return None
    # 2 images for less than 100, 4 for less than 200, 64 for 1600 and more.
    per_step = min(recipe.per_step, 2 ** int(math.log2(max(2, images / _STEPS_OF_AN_EPOCH))))
    steps = max(_LEAST, round(_EPOCHS * images / per_step))
    if recipe.by_epoch:
        too_short = recipe.steps(images) < _LEAST
        epochs = math.ceil(steps * per_step / images)
        return Short(per_step, round(epochs * images / per_step), epochs, recipe) if too_short else None
    if steps > recipe.steps(images) / 2:
        return None
    return Short(per_step, steps, round(steps * per_step / images), recipe)


def of_given_length(cfg: Any, images: int) -> Short:
    """The schedule of a recipe whose length a person gave: it follows that length, and nothing else changes."""
    recipe = recipe_of(cfg)
    return Short(recipe.per_step, round(recipe.steps(images)), round(recipe.epochs(images)), recipe)


def short_options(cfg: Any, short: Short, accumulated: int, length: int | None = None) -> dict[str, Any]:
    """Options of such a schedule: a warm-up of a twentieth, then half a cosine, and ten validations.

    Args:
        cfg: The config.
        short: The schedule.
        accumulated: Batches of a step, which mmengine's loops count one by one.
        length: Epochs, or iterations, where they are given; by default those of the schedule.
    """
    recipe = short.recipe
    step = 1 if recipe.by_epoch else accumulated
    length = length or (short.epochs if recipe.by_epoch else short.steps * accumulated)
    interval = max(1, length // step // _EVALUATIONS) * step
    options = {
        'train_cfg.max_epochs' if recipe.by_epoch else 'train_cfg.max_iters': length,
        'train_cfg.val_interval': interval,
        'param_scheduler': _schedules(cfg, recipe.by_epoch, length, accumulated),
        'default_hooks.checkpoint.interval': interval,
        'auto_scale_lr.base_batch_size': short.per_step,
    }
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if checkpoint.get('by_epoch', True) != recipe.by_epoch:
        options['default_hooks.checkpoint.by_epoch'] = recipe.by_epoch
    if recipe.rule == 'linear' and recipe.rate and short.per_step != recipe.per_step:
        options['optim_wrapper.optimizer.lr'] = recipe.rate * short.per_step / recipe.per_step
    hooks = None if recipe.by_epoch else scaled_hooks(cfg, steps=length / accumulated / recipe.steps(1))
    if hooks is not None:
        options['custom_hooks'] = hooks
    return options


def short_recipe(cfg: Any, images: int) -> tuple[dict[str, Any], str]:
    """Options of a short schedule for one process with at most the batch of a config, and a sentence that says so.

    Args:
        cfg: The config.
        images: Number of training images.

    Returns:
        Both empty where the schedule of the config stays.
    """
    short = shortened(cfg, images)
    if short is None:
        return {}, ''
    recipe = short.recipe
    batch = max(size for size in range(1, min(recipe.batch, short.per_step) + 1) if short.per_step % size == 0)
    counts = short.per_step // batch
    options = short_options(cfg, short, counts)
    if batch != recipe.batch:
        options['train_dataloader.batch_size'] = batch
    if counts != recipe.accumulated:
        options['optim_wrapper.accumulative_counts'] = counts
    return options, short_text(short, images)


def short_text(short: Short, images: int) -> str:
    """What a person is to know of it."""
    recipe = short.recipe
    was = f'{recipe.length} epochs' if recipe.by_epoch else f'{recipe.steps(images):.0f} steps of {recipe.per_step}'
    rate = ''
    if short.per_step != recipe.per_step:
        rate = '; the rate of SGD falls with them' if recipe.rule == 'linear' else '; the rate of the recipe stays'
    return (
        f'{short.epochs} epochs, {short.steps} steps of {short.per_step} images, in the place of {was}, for '
        f'{images} images{rate}.'
    )


def _schedules(cfg: Any, by_epoch: bool, length: int, accumulated: int) -> list[dict[str, Any]]:
    schedules = cfg.get('param_scheduler') or []
    schedules = schedules if isinstance(schedules, (list, tuple)) else [schedules]
    for schedule in schedules:
        if is_kind(schedule, 'TwoStageWarmupPoly'):  # of parts of a model, which nothing simpler stands for
            return [_two_stages(schedule, length // accumulated, accumulated)]
    step = 1 if by_epoch else accumulated
    warmup = max(1, length // step // 20) * step
    counted = {'by_epoch': True, 'convert_to_iter_based': True} if by_epoch else {'by_epoch': False}
    return [
        {'type': 'LinearLR', 'start_factor': 0.001, **counted, 'begin': 0, 'end': warmup},
        {'type': 'CosineAnnealingLR', **counted, 'begin': warmup, 'end': length, 'T_max': max(1, length - warmup)},
    ]


def _two_stages(schedule: Any, steps: int, accumulated: int) -> dict[str, Any]:
    first, second = schedule['warmup']
    both = steps // 10
    warmup = (both * first // max(1, first + second), both - both * first // max(1, first + second))
    counts = {'accumulative_counts': accumulated} if accumulated > 1 else {}
    kept = {name: value for name, value in schedule.items() if name not in ('end', 'accumulative_counts')}
    return {**copy.deepcopy(kept), 'warmup': warmup, 'total': steps, **counts}
