"""A recipe made to fit the data and the machine, by rules, and by trial steps where they are allowed."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import IterableDataset

from mmvitdense.engine.whole_checkpoint import bare_model, single_wrappers

from ..build import build_runner
from ..errors import InputError
from ..first_batch import generators_kept
from ..metric_names import main_result
from ..run_log import run_log
from .choices import SMALL, trained_parts
from .expectation import Expected, expect
from .fitting import largest_batch
from .given import LENGTHS, Given
from .kept_plan import FIELD
from .recipe import recipe_of
from .schedule import Facts, set_schedule
from .small_data import of_given_length, shortened
from .trial import Trial
from .trunk import find_trunk


@dataclass
class Adapted:
    """What was done to a config.

    Attributes:
        changes: A sentence for each thing.
        expected: Memory and time, where steps were tried.
    """

    changes: list[str] = field(default_factory=list)
    expected: Expected | None = None


def adapt_config(
    cfg: Any,
    published: Any,
    given: Given,
    changes: Sequence[str] = (),
    probe: bool = True,
    max_bad_images: int | None = None,
) -> Adapted:
    """Adapt a config in place; nothing is written.

    Args:
        cfg: The config, after all checks.
        published: The same without a batch and a length of the run that were given.
        given: What a person gave, which stays.
        changes: What was changed before, see `adapt_precision`.
        probe: Whether to try steps, by which the batch and the recomputation are chosen.
        max_bad_images: As for `build_runner`.

    Raises:
        InputError: Not one image fits, or parts of the config cannot be built or adapted.
    """
    refuse_other_runners(cfg)
    if 'optimizer' not in cfg.optim_wrapper:
        raise InputError('--auto: expected one optimizer in optim_wrapper; adapt a config of several by hand.')
    done = Adapted(list(changes))
    with prepared(cfg, max_bad_images) as runner:
        facts = _facts(cfg, runner)
        rebuilt = _take(cfg, given, *trained_parts(cfg, facts.images, facts.trunk), done)
        short, recipe = shortened(published, facts.images), recipe_of(published)
        if short is None and facts.images <= SMALL and any(key in given for key in LENGTHS):
            short = of_given_length(published, facts.images)
        search = _Search(facts, given, short.per_step if short else recipe.per_step, recipe.batch)
        done.expected = None if rebuilt or not probe else search.tried(cfg, runner)
    if probe and not search.is_enough(cfg, done.expected):
        done.expected = search.tried_again(cfg, done, max_bad_images)
    search.set_batch(cfg, done)
    set_schedule(cfg, recipe, short, facts, given, done.changes)
    cfg[FIELD] = {'changes': list(done.changes)}
    return done


@contextmanager
def prepared(
    cfg: Any,
    max_bad_images: int | None,
    datasets: dict | None = None,
    tried: bool = False,
    level: int = logging.ERROR,
) -> Iterator[Any]:
    """A runner that is only built, of a copy of a config, and forgotten afterwards.

    Args:
        cfg, max_bad_images, datasets, tried: As for `build_runner`.
        level: What is said on the terminal: by default errors, as the run itself says the rest when it is built.
    """
    copied = copy.deepcopy(cfg)
    with generators_kept(), run_log() as log:
        log.logger.handlers[0].addFilter(lambda record: record.levelno >= level)
        runner = build_runner(
            copied, max_bad_images=max_bad_images, tried=tried, only_prepared=True, given_datasets=datasets
        )
        try:
            yield runner
        finally:
            runner.forget()
            _release(runner)


def _release(runner: Any) -> None:
    """Give the memory of a GPU back at once, whoever holds the runner."""
    for wrapper in single_wrappers(runner.optim_wrapper):
        wrapper.optimizer.zero_grad(set_to_none=True)
        wrapper.optimizer.state.clear()
    if torch.cuda.is_available():
        bare_model(runner.model).to('cpu')
        gc.collect()
        torch.cuda.empty_cache()


def refuse_other_runners(cfg: Any) -> None:
    """Raise where a runner cannot be built without being run."""
    if cfg.get('runner_type', 'Runner') != 'Runner':
        raise InputError(
            f'--auto and --plan: {cfg.runner_type} builds its parts by itself, so there is nothing to look at before '
            "the run; leave them out, or use runner_type='Runner'."
        )


def trial_of(runner: Any, averaged: bool = False) -> Trial | None:
    """Steps of a model that is whole in each process; None where they cannot be tried."""
    whole = runner.model is bare_model(runner.model) or isinstance(runner.model, DistributedDataParallel)
    return Trial(runner, averaged) if whole else None


def _facts(cfg: Any, runner: Any) -> Facts:
    dataset = runner.train_loop.dataloader.dataset
    if isinstance(dataset, IterableDataset):
        raise InputError(f'--auto: {type(dataset).__name__} does not say how many images it has.')
    datasets, evaluator = {'train': dataset}, None
    if runner._val_loop is not None:
        datasets['val'], evaluator = runner.val_loop.dataloader.dataset, runner.val_loop.evaluator
    model = bare_model(runner.model).train()
    normed = any(isinstance(module, _BatchNorm) and module.training for module in model.modules())
    return Facts(len(dataset), main_result(evaluator), find_trunk(cfg, model), datasets, least=2 if normed else 1)


def _take(cfg: Any, given: Given, options: dict[str, Any], said: list[str], done: Adapted) -> bool:
    """Set options that nobody gave."""
    left = given.left(options)
    cfg.merge_from_dict(copy.deepcopy(left))
    if left:
        done.changes += said
    return bool(left)


class _Search:
    """The search of a batch.

    Args:
        facts: What is known of the run.
        given: What a person gave.
        per_step: Images of a step of the optimizer, of all processes.
        batch: Images of a batch of the recipe.
    """

    def __init__(self, facts: Facts, given: Given, per_step: int, batch: int):
        self._facts, self._given, self._per_step, self._batch = facts, given, per_step, batch
        self._wanted = max(facts.least, round(per_step / get_world_size()))
        self._sizes = [size for size in range(facts.least, self._wanted + 1) if self._wanted % size == 0]
        self._of_recipe = max((size for size in self._sizes if size <= batch), default=self._sizes[0])

    def tried(self, cfg: Any, runner: Any) -> Expected | None:
        """What the largest batch takes that fits; None where none does."""
        averaged = self._facts.images <= SMALL
        trial = trial_of(runner, averaged)
        if trial is None:
            raise InputError(
                '--auto: a model that is split over processes cannot be tried: give train_dataloader.batch_size by '
                '--cfg-options, and --no-probe.'
            )
        sizes = self._sizes
        if 'train_dataloader.batch_size' in self._given:
            sizes = [cfg.train_dataloader.batch_size]
        elif trial.memory is None or not trial.memory.catches:
            # A larger batch than that of the recipe makes nothing faster on a CPU.
            sizes = [size for size in sizes if size <= self._of_recipe]
        measured = largest_batch(trial, sizes, self._wanted)
        return None if measured is None else expect(trial, measured)

    def is_enough(self, cfg: Any, found: Expected | None) -> bool:
        """Whether a batch is that of the recipe, or nothing would make it larger."""
        least = self._of_recipe
        if 'train_dataloader.batch_size' in self._given:
            least = cfg.train_dataloader.batch_size
        return found is not None and (found.measured.images >= least or not self._can_recompute())

    def tried_again(self, cfg: Any, done: Adapted, max_bad_images: int | None) -> Expected:
        """Try the config as it is now, then with recomputation where the batch is smaller than that of the recipe."""
        best = done.expected
        for recomputes in (False, True):
            if (recomputes and not self._can_recompute()) or (not recomputes and best is not None):
                continue
            tried = copy.deepcopy(cfg)
            options = {f'{self._facts.trunk.key}.with_cp': True} if recomputes else {}
            tried.merge_from_dict(options)
            with prepared(tried, max_bad_images, self._facts.datasets) as runner:
                found = self.tried(tried, runner)
            if found is not None and (best is None or found.measured.images > best.measured.images):
                cfg.merge_from_dict(options)
                if recomputes:
                    was = f'{best.measured.images} instead of {found.measured.images}' if best else 'not one'
                    done.changes.append(
                        f'the ViT is computed again on the way back (with_cp): {was} would fit without.'
                    )
                best = found
            if self.is_enough(tried, best):
                break
        if best is None:
            raise InputError(self._does_not_fit(cfg))
        return best

    def set_batch(self, cfg: Any, done: Adapted) -> None:
        """Set the batch, and how many of them make a step."""
        loader, wrapper = cfg.train_dataloader, cfg.optim_wrapper
        before = loader.batch_size, int(wrapper.get('accumulative_counts') or 1)
        if 'train_dataloader.batch_size' not in self._given:
            loader.batch_size = done.expected.measured.images if done.expected else self._of_recipe
        if 'optim_wrapper.accumulative_counts' not in self._given:
            counts = max(1, round(self._wanted / loader.batch_size))
            if counts > 1 or 'accumulative_counts' in wrapper:
                wrapper.accumulative_counts = counts
        after = loader.batch_size, int(wrapper.get('accumulative_counts') or 1)
        if after != before:
            done.changes.append(
                f'{after[0]} images x {after[1]} accumulated instead of {before[0]} x {before[1]}, for '
                f'{self._per_step} images a step.'
            )

    def _can_recompute(self) -> bool:
        trunk = self._facts.trunk
        return (
            trunk is not None
            and 'with_cp' in trunk.takes
            and not trunk.settings.get('with_cp')
            and f'{trunk.key}.with_cp' not in self._given
        )

    def _does_not_fit(self, cfg: Any) -> str:
        if 'train_dataloader.batch_size' in self._given:
            return (
                f'A batch of {cfg.train_dataloader.batch_size} images, as train_dataloader.batch_size was given, does '
                'not fit into the memory: give less, or leave it to --auto.'
            )
        return 'Not one image fits into the memory: make images smaller in the pipeline, or take a smaller model.'
