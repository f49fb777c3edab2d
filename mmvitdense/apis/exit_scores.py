"""How well a model with early exit does on each image at each depth: what its gate is trained on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import METRICS
from mmengine.runner import Runner

from mmvitdense.compat import while_tools_run

from .build import build_model
from .errors import InputError
from .files import check_output_file, write_json
from .named_models import find_config, with_weights


@while_tools_run()
def make_exit_scores(
    config: Any,
    checkpoint: str | Path,
    out: str | Path,
    split: str = 'train',
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> dict[str, list[float]]:
    """Predict the images of a data set at every depth and write their panoptic quality.

    Images are loaded as in testing. The quality is the mean of the panoptic quality over the classes of one image,
    predicted or labelled.

    Args:
        config: A config of `EarlyExitMask2Former`.
        checkpoint: Weights of its parent.
        out: The JSON file, {file name of an image: [quality at the smallest depth, ..., at the largest]}.
        split: 'train', 'val' or 'test', whose images are predicted.
        device: As for torch; by default a GPU where there is one.
        cfg_options: {dotted key: value} merged into the config.

    Returns:
        What was written.

    Raises:
        InputError: The model has no early exit, the data set no panoptic labels, or two images one name.
    """
    check_output_file(str(out), '--out')
    cfg, entry = find_config(config, cfg_options)
    model = build_model(cfg)
    from mmvitdense.models.detection import EarlyExitMask2Former

    if not isinstance(model, EarlyExitMask2Former):
        raise InputError(
            f'{cfg.filename} has a {type(model).__name__}, expected mmvitdense.EarlyExitMask2Former: give a config of '
            'configs/eco_m2f.'
        )
    loader_cfg, metric_cfg = _tested_as(cfg, split)
    with_weights(config, cfg, entry, checkpoint).load_weights(model)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
    loader = Runner.build_dataloader(loader_cfg)
    metric = METRICS.build(metric_cfg)
    metric.dataset_meta = loader.dataset.metainfo
    scores: dict[str, list[float]] = {}
    for batch in loader:
        for name, qualities in _scores_of(model, batch, metric).items():
            if name in scores:
                raise InputError(f'Two images of the data set are named {name}; expected names that differ.')
            scores[name] = qualities
    write_json(out, scores)
    return scores


def _tested_as(cfg: Any, split: str) -> tuple[dict, dict]:
    """The images of a split in a loader as in testing, and the metric of their labels."""
    given = cfg.get(f'{split}_dataloader')
    if given is None:
        raise InputError(f'{cfg.filename} has no {split}_dataloader; expected one whose images can be predicted.')
    loader, dataset = copy.deepcopy(cfg.test_dataloader), copy.deepcopy(given.dataset)
    if 'seg' not in dataset.get('data_prefix', {}):
        raise InputError(f'The {split} data set has no data_prefix.seg; expected a panoptic data set, not wrapped.')
    dataset.update(pipeline=loader.dataset.pipeline, test_mode=True)
    loader.dataset = dataset
    root = Path(dataset.get('data_root') or '')
    metric = {
        'type': 'CocoPanopticMetric',
        'ann_file': str(root / dataset.ann_file),
        'seg_prefix': str(root / dataset.data_prefix['seg']),
    }
    return loader, metric


@torch.no_grad()
def _scores_of(model: Any, batch: dict, metric: Any) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for samples in model.predictions_by_depth(batch).values():
        metric.results.clear()
        metric.process({}, [sample.to_dict() for sample in samples])
        for sample, statistics in zip(samples, metric.results, strict=True):
            average, _ = statistics.pq_average(metric.categories, isthing=None)
            scores.setdefault(Path(sample.img_path).name, []).append(round(float(average['pq']), 6))
    return scores
