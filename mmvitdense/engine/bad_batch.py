"""A batch that gave numbers that are not finite: where they began, and a file to run it again from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, is_distributed
from mmengine.runner import Runner

from .full_sharding import is_sharded
from .non_finite_source import Source, find_source
from .random_state import random_state, set_random_state
from .repeatable import RepeatableHook
from .seeded_samples import Sample, SeededLoading
from .whole_checkpoint import bare_model, single_wrappers

_SHOWN = 8


class BadBatch:
    """The batch of the current iteration, in case its loss is not finite.

    Args:
        runner: The runner, within a training step.
        batch: What the loader gave.
        state: The generators before the step.
    """

    def __init__(self, runner: Runner, batch: Any, state: dict[str, Any]):
        self._runner = runner
        self._batch = batch
        self._state = state
        self._samples = next((hook.samples for hook in runner.hooks if isinstance(hook, RepeatableHook)), None)
        self._source = Source()

    def find(self, error: Exception | None) -> bool:
        """Run the batch again; whether numbers were not finite before `error`, or without one."""
        runner = self._runner
        if is_sharded(runner.model):
            # To run it again, all processes would have to come here, also those with nothing to find.
            self._source = Source('a place that is not known, as each process has a part of the weights alone')
            return error is None
        model = bare_model(runner.model)
        now = random_state()
        set_random_state(self._state)
        try:
            # What the step was given may have been changed by it, as boxes are by batch augmentation.
            batch = self._batch if self._samples is None else self._load_again()
            self._source = find_source(model, batch, single_wrappers(runner.optim_wrapper)[0].optim_context(model))
        except Exception as again:
            if error is not None:
                return False
            self._source = Source(f'a place that is not known, as the batch could not be run again ({again})')
        finally:
            set_random_state(now)
        return error is None or self._source.place is not None

    def write_and_describe(self, with_weights: bool) -> str:
        """Write `bad_batch_iter_N.pth` in the work dir; say what was found, where several processes train in all."""
        runner = self._runner
        iteration, rank = runner.iter + 1, get_rank()
        name = f'bad_batch_iter_{iteration}_rank_{rank}.pth' if is_distributed() else f'bad_batch_iter_{iteration}.pth'
        path = Path(runner.work_dir, name)
        images = image_paths(self._batch)
        text = f'{_said(self._source)} (images {_listed(images)}; batch in {path})'
        if is_distributed():
            found = self._source.place is not None
            texts = all_gather_object((found, f'in process {rank} {text}'))
            text = '; '.join(one for bad, one in texts if bad) or texts[0][1]
            if not found and any(bad for bad, _ in texts):
                return f'Iteration {iteration}: {text}'
        whole = with_weights and not is_sharded(runner.model)
        weights = bare_model(runner.model).state_dict() if whole else None
        torch.save(
            {
                'iteration': iteration,
                'seed': runner.seed,
                'samples': None if self._samples is None else [list(sample) for sample in self._samples],
                'images': images,
                'place': self._source.place,
                'losses': self._source.losses,
                'random_state': self._state,
                'state_dict': weights,
            },
            path,
        )
        return f'Iteration {iteration}: {text}'

    def _load_again(self) -> Any:
        loader = self._runner.train_loop.dataloader
        return load_samples(loader.dataset, loader.collate_fn, self._runner.seed, self._samples)


def load_samples(dataset: Any, collate: Any, seed: int, samples: list[Any]) -> Any:
    """Load the samples of a batch with the augmentation that they had.

    Args:
        dataset: The training data.
        collate: What makes a batch of samples.
        seed: The seed of the run.
        samples: `Sample`s, or lists of their fields.
    """
    return collate(SeededLoading(dataset, seed)([Sample(*sample) for sample in samples]))


def image_paths(batch: Any) -> list[str]:
    """The image files of a batch of mmdet or mmseg."""
    samples = (batch.get('data_samples') or []) if isinstance(batch, dict) else []
    return [str(path) for sample in samples if (path := getattr(sample, 'img_path', None)) is not None]


def _said(source: Source) -> str:
    losses = ', '.join(f'{name} {value:.4g}' for name, value in source.losses.items() if 'loss' in name)
    place = source.place or 'a place that is not known, as all numbers were finite when the batch was run again'
    return f'numbers that are not finite came up in {place}{f" [{losses}]" if losses else ""}'


def _listed(images: list[str]) -> str:
    more = f' and {len(images) - _SHOWN} more' if len(images) > _SHOWN else ''
    return ', '.join(images[:_SHOWN]) + more if images else 'unknown'
