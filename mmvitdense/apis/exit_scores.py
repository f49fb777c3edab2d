"""How well a model with early exit does on each image at each depth: what its gate is trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import METRICS
from mmengine.runner import Runner

from mmvitdense.compat import while_tools_run
from mmvitdense.models.mask_transformers.early_exit import TrainsGateAlone
from mmvitdense.progress import progress

from .build import build_model, predict_labels_alone
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
    """Predict the images of a data set at every depth and write their quality.

    Images are loaded as in testing. The quality is the mean over the classes of one image, predicted or labelled, of
    the panoptic quality where the data set has panoptic labels, of the intersection over union where it has label maps.

    Args:
        config: A config of `EarlyExitMask2Former` or `EarlyExitEncoderDecoder`.
        checkpoint: Weights of its parent.
        out: The JSON file, {file name of an image: [quality at the smallest depth, ..., at the largest]}.
        split: 'train', 'val' or 'test', whose images are predicted.
        device: As for torch; by default a GPU where there is one.
        cfg_options: {dotted key: value} merged into the config.

    Returns:
        What was written.

    Raises:
        InputError: The model has no early exit, the data set neither panoptic labels nor label maps, or two images have
            one name.
    """
    check_output_file(str(out), '--out')
    cfg, entry = find_config(config, cfg_options)
    predict_labels_alone(cfg)
    model = build_model(cfg)
    if not isinstance(model, TrainsGateAlone):
        raise InputError(
            f'{cfg.filename} has a {type(model).__name__}, expected mmvitdense.EarlyExitMask2Former or '
            'mmvitdense.EarlyExitEncoderDecoder: give a config of configs/eco_m2f.'
        )
    loader_cfg, metric_cfg, quality = _tested_as(cfg, split, model)
    with_weights(config, cfg, entry, checkpoint).load_weights(model)
    model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
    loader = Runner.build_dataloader(loader_cfg)
    metric = METRICS.build(metric_cfg)
    metric.dataset_meta = loader.dataset.metainfo
    scores: dict[str, list[float]] = {}
    for batch in progress(loader, 'Predicting'):
        for name, qualities in _scores_of(model, batch, metric, quality).items():
            if name in scores:
                raise InputError(f'Two images of the data set are named {name}; expected names that differ.')
            scores[name] = qualities
    write_json(out, scores)
    return scores


def _tested_as(cfg: Any, split: str, model: TrainsGateAlone) -> tuple[dict, dict, Callable[[Any, Any], float]]:
    """The images of a split in a loader as in testing, the metric of their labels, and what it says of one image."""
    given = cfg.get(f'{split}_dataloader')
    if given is None:
        raise InputError(f'{cfg.filename} has no {split}_dataloader; expected one whose images can be predicted.')
    loader, dataset = copy.deepcopy(cfg.test_dataloader), copy.deepcopy(given.dataset)
    dataset.update(pipeline=loader.dataset.get('pipeline'), test_mode=True)
    loader.dataset = dataset
    prefix = dataset.get('data_prefix', {})
    if 'seg_map_path' in prefix:
        return loader, {'type': 'IoUMetric', 'ignore_index': model.exit_head.ignore_index}, _mean_iou
    if 'seg' in prefix:
        root = Path(dataset.get('data_root') or '')
        files = {'ann_file': str(root / dataset.ann_file), 'seg_prefix': str(root / prefix['seg'])}
        return loader, {'type': 'CocoPanopticMetric', **files}, _panoptic_quality
    raise InputError(
        f'The {split} data set has neither data_prefix.seg nor data_prefix.seg_map_path; expected one with panoptic '
        'labels or label maps, not wrapped.'
    )


@torch.no_grad()
def _scores_of(
    model: TrainsGateAlone, batch: dict, metric: Any, quality: Callable[[Any, Any], float]
) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for samples in model.predictions_by_depth(batch).values():
        metric.results.clear()
        metric.process({}, [sample.to_dict() for sample in samples])
        for sample, result in zip(samples, metric.results, strict=True):
            scores.setdefault(Path(sample.img_path).name, []).append(round(quality(metric, result), 6))
    return scores


def _panoptic_quality(metric: Any, statistics: Any) -> float:
    """What `CocoPanopticMetric` keeps of an image."""
    average, _ = statistics.pq_average(metric.categories, isthing=None)
    return float(average['pq'])


def _mean_iou(metric: Any, areas: Any) -> float:
    """What `IoUMetric` keeps of an image: pixels of each class that are right, and that are predicted or labelled."""
    intersect, union = areas[:2]
    there = union > 0
    return float((intersect[there] / union[there]).mean()) if there.any() else 0.0
