"""The evaluation that a report shows: of a checkpoint, or of predictions that were written before."""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from mmvitdense.progress import progress

from ..build import building, enter_scope
from ..config import load_config
from ..errors import InputError
from ..own_metrics import with_own_metrics
from ..resume import latest_checkpoint
from ..test import evaluate_model
from .collecting import Collected, collecting
from .run_files import RunFiles, best_checkpoint

_LABELS = ('gt_instances', 'ignored_instances', 'gt_sem_seg', 'instances', 'segments_info')
_SAFE = {
    ('collections', 'OrderedDict'),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('numpy._core.multiarray', '_reconstruct'),
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy._core.multiarray', 'scalar'),
    ('numpy.core.multiarray', 'scalar'),
    ('_codecs', 'encode'),
}


def chosen_checkpoint(run: RunFiles, wanted: str) -> str | None:
    """The checkpoint to evaluate; None if there is none, and none was asked for by its path.

    Args:
        run: The work dir.
        wanted: 'best' (the newest where no best one was saved), 'last', 'none' or a path.

    Raises:
        InputError: The path is no file, or there is no last checkpoint.
    """
    if wanted == 'none':
        return None
    if wanted not in ('best', 'last'):
        if not Path(wanted).is_file():
            raise InputError(f'--checkpoint {wanted}: there is no such file; give a path, best, last or none.')
        return wanted
    best = best_checkpoint(run) if wanted == 'best' else None
    found = str(best) if best else latest_checkpoint(run.folder)[0]
    if found is None:
        if wanted == 'last':
            raise InputError(f'--checkpoint last: {run.folder} holds no checkpoint: give the path of one, or none.')
        print_log(
            f'{run.folder} holds no checkpoint, so nothing is evaluated: give one with --checkpoint FILE.',
            logger='current',
            level=logging.WARNING,
        )
    return found


def evaluated(run: RunFiles, config: str | None, checkpoint: str, work_dir: str) -> Collected:
    """Evaluate a checkpoint on the test set of the config of the run."""
    collected = Collected()
    cfg = load_config(config or _config(run))
    scope = cfg.get('default_scope')

    @contextmanager
    def watch(runner: Any):
        loop = runner.test_loop
        with collecting(loop.evaluator, loop.dataloader.dataset, scope, collected):
            yield

    collected.metrics = evaluate_model(cfg, checkpoint, work_dir=work_dir, watch=watch)
    return collected


def evaluated_results(run: RunFiles, config: str | None, results: str) -> Collected:
    """Score the predictions of `mmvitdense test --out`, of the test set of the config of the run."""
    cfg = load_config(config or _config(run))
    enter_scope(cfg)
    samples = read_results(results)
    with building('test_dataloader.dataset', cfg.test_dataloader.dataset):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if len(samples) != len(dataset):
        raise InputError(
            f'{results} has predictions of {len(samples)} images, and the test set of {run.config} has {len(dataset)}: '
            'give the file that `mmvitdense test` wrote for this config.'
        )
    settings = with_own_metrics(cfg.test_evaluator)
    with building('test_evaluator', cfg.test_evaluator):
        evaluator = Evaluator(settings if isinstance(settings, list) else [settings])
    evaluator.dataset_meta = dataset.metainfo
    collected = Collected()
    with collecting(evaluator, dataset, cfg.default_scope, collected):
        # Annotation files have what COCO's metric compares with, and images need not be read for it.
        has_truth = all(getattr(metric, '_coco_api', None) is not None for metric in evaluator.metrics[1:])
        for place, sample in enumerate(progress(samples, 'Scoring')):
            if not has_truth or 'pred_panoptic_seg' in sample:
                sample = {**_truth(dataset, place), **sample}
            evaluator.process([sample])
        collected.metrics = {name: float(value) for name, value in evaluator.evaluate(len(samples)).items()}
    return collected


def read_results(path: str) -> list[dict[str, Any]]:
    """Read the predictions of `mmvitdense test --out`; nothing but arrays and tensors is let through.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        with open(path, 'rb') as file:
            found = _ArraysAlone(file).load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, AttributeError) as error:
        raise InputError(
            f'--results {path} cannot be read ({error}): give a file of `mmvitdense test --out`.'
        ) from error
    if not isinstance(found, list) or not all(isinstance(sample, dict) for sample in found):
        raise InputError(f'--results {path} holds no list of predictions: give a file of `mmvitdense test --out`.')
    return found


class _ArraysAlone(pickle.Unpickler):
    """A pickle may run anything when it is loaded; this one reads data."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _storage
        if (module, name) in _SAFE:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'it holds {module}.{name}, which is no array')


def _storage(content: bytes) -> Any:
    import io

    import torch

    return torch.load(io.BytesIO(content), weights_only=True, map_location='cpu')


def _truth(dataset: Any, place: int) -> dict[str, Any]:
    """The labels of an image, as the pipeline of the data set loads them."""
    sample = dataset[place].get('data_samples')
    known = sample.to_dict() if sample is not None else {}
    return {name: value for name, value in known.items() if name in _LABELS}


def _config(run: RunFiles) -> str:
    if run.config is None:
        raise InputError(f'{run.folder} holds no config: give it with --config, or add --checkpoint none.')
    return str(run.config)
