"""Schedule and rate for the images of a step, for the data, and for batches that are summed up."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

from mmengine.dist import get_world_size

from ..rate_rule import rate_factor
from .choices import kept_parts
from .counters import scaled_counters, warmup_options
from .given import LENGTHS, Given
from .recipe import Recipe
from .small_data import Short, short_options, short_text
from .trunk import Trunk

_WARMUP = 10
"""A warm-up is at most this part of a run."""


@dataclass(frozen=True)
class Facts:
    """What is known of a run when its parts are built.

    Attributes:
        images: Training images.
        main: The result that counts, see `main_result`.
        trunk: The ViT.
        datasets: Data sets by 'train' and 'val'.
        least: Images that a batch has at least: 2 where batch norms are trained, which are blind on one.
    """

    images: int
    main: tuple[str, float] | None
    trunk: Trunk | None
    datasets: dict[str, Any]
    least: int


def set_schedule(cfg: Any, recipe: Recipe, short: Short | None, facts: Facts, given: Given, changes: list[str]) -> None:
    """Give a config whose batch is chosen its schedule and rate, in place.

    Args:
        cfg: The config.
        recipe: What the published one says.
        short: The schedule for small data, None where the recipe's stays.
        facts: What is known of the run.
        given: What a person gave, which stays.
        changes: Gets a sentence for each change.
    """
    counts = int(cfg.optim_wrapper.get('accumulative_counts') or 1)
    images = cfg.train_dataloader.batch_size * counts * get_world_size()
    base = short.per_step if short else recipe.per_step
    if short:
        _set_short(cfg, short, counts, base / images, facts, given, changes)
    else:
        _set_scaled(cfg, recipe, counts, base / images, given, changes)
    _set_rate(cfg, recipe, base, images, given, changes)
    length = _iterations(cfg, facts.images)
    if 'param_scheduler' not in given and (options := warmup_options(cfg, max(1, length // _WARMUP))):
        cfg.merge_from_dict(options)
        changes.append(f'the warm-up ends after {max(1, length // _WARMUP)} iterations, a tenth of the run.')
    options, said = kept_parts(cfg, facts.images, facts.main, length, _validations(cfg), given)
    cfg.merge_from_dict(copy.deepcopy(options))
    changes += said


def _set_short(
    cfg: Any, short: Short, counts: int, more: float, facts: Facts, given: Given, changes: list[str]
) -> None:
    by_epoch = short.recipe.by_epoch
    key = LENGTHS[by_epoch]
    # The same number of images where a step has others than it should have.
    length = short.epochs if by_epoch else max(1, round(short.steps * more)) * counts
    if key in given:
        length = cfg.train_cfg['max_epochs' if by_epoch else 'max_iters']
        unit = 'epochs' if by_epoch else 'iterations'
        changes.append(f'steps of {short.per_step} images, a warm-up and half a cosine over {length} {unit} as given.')
    else:
        changes.append(short_text(short, facts.images))
    cfg.merge_from_dict(copy.deepcopy(given.left(short_options(cfg, short, counts, length))))


def _set_scaled(cfg: Any, recipe: Recipe, counts: int, more: float, given: Given, changes: list[str]) -> None:
    iterations = more * counts / recipe.accumulated
    rate = rate_factor({'base_batch_size': more, 'rule': recipe.rule}, 1)
    options = scaled_counters(cfg, iterations, more, counts, rate)
    left = given.left(options)
    cfg.merge_from_dict(copy.deepcopy(left))
    if left and iterations != 1:
        changes.append(
            f'iterations, warm-up, milestones and intervals are {iterations:g} times those of the recipe, of '
            f'{counts} batches a step: as many images are seen.'
        )


def _set_rate(cfg: Any, recipe: Recipe, base: int, images: int, given: Given, changes: list[str]) -> None:
    scaling = dict(cfg.get('auto_scale_lr') or {})
    if scaling.get('enable') or 'auto_scale_lr' in given or 'optim_wrapper.optimizer.lr' in given:
        return
    if images == base or recipe.rate is None:
        return
    cfg.auto_scale_lr = {**scaling, 'enable': True, 'base_batch_size': base, 'rule': recipe.rule}
    factor = rate_factor(cfg.auto_scale_lr, images)
    rule = 'the square root of' if recipe.rule == 'sqrt' else ''
    kind = cfg.optim_wrapper.optimizer.type
    changes.append(f'{kind}: the rate is {factor:.3g} times {recipe.rate:g}, {rule} {images}/{base} images.')


def _iterations(cfg: Any, images: int) -> int:
    loop = cfg.train_cfg
    if 'max_epochs' not in loop:
        return loop['max_iters']
    return loop['max_epochs'] * math.ceil(images / (cfg.train_dataloader.batch_size * get_world_size()))


def _validations(cfg: Any) -> int:
    if cfg.get('val_cfg') is None:
        return 0
    loop = cfg.train_cfg
    return (loop.get('max_epochs') or loop['max_iters']) // loop.get('val_interval', 1)
