"""What a report needs of an evaluation, taken while it runs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mmengine.evaluator import BaseMetric, Evaluator

from mmvitdense.evaluation.coco_scores import Detections
from mmvitdense.evaluation.pixel_confusion import PixelConfusion

_WORST = 12


@dataclass
class Collected:
    """What an evaluation gave.

    Attributes:
        classes: Names.
        dataset: The data set.
        metrics: {name: value}.
        found: Detections of each image in the order of the data set; empty without any.
        truth: pycocotools' `COCO` of the objects; None without one.
        category_ids: The category of each class in `truth`.
        image_ids: Those that are scored.
        kinds: What was scored: 'bbox', 'segm'.
        pixels: The pixels, of label maps and panoptic predictions.
        panoptic: {class: PQ, SQ, RQ} from 0 to 1.
        image_qualities: PQ of each image.
    """

    classes: tuple[str, ...] = ()
    dataset: Any = None
    metrics: dict[str, float] = field(default_factory=dict)
    found: list[Detections] = field(default_factory=list)
    truth: Any = None
    category_ids: list[Any] = field(default_factory=list)
    image_ids: list[Any] = field(default_factory=list)
    kinds: tuple[str, ...] = ()
    pixels: PixelConfusion | None = None
    panoptic: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    image_qualities: list[float] = field(default_factory=list)


class _Detections(BaseMetric):
    """Keeps detections; masks are encoded here, once for all metrics."""

    default_prefix = 'detections'

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Detections] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        from mmdet.structures.mask import encode_mask_results

        from mmvitdense.evaluation.coco_metric import compact

        for sample in data_samples:
            predicted = sample['pred_instances']
            if hasattr(predicted.get('masks'), 'cpu'):
                predicted['masks'] = encode_mask_results(predicted['masks'].detach().cpu().numpy())
            arrays = {
                name: value.cpu().numpy() if hasattr(value, 'cpu') else value for name, value in predicted.items()
            }
            self.found.append(compact({**arrays, 'img_id': sample['img_id']}))
            self.results.append(None)

    def compute_metrics(self, results: list[None]) -> dict[str, float]:
        return {}


@contextmanager
def collecting(evaluator: Any, dataset: Any, scope: str, collected: Collected) -> Iterator[None]:
    """Fill `collected` from an evaluation that runs inside, on one process.

    Args:
        evaluator: What is evaluated with; it has its metrics alone again afterwards.
        dataset: The data set.
        scope: 'mmdet' or 'mmseg'.
        collected: Where the findings go.
    """
    collected.dataset, collected.classes = dataset, tuple(dataset.metainfo.get('classes') or ())
    if type(evaluator) is not Evaluator:  # such as mmdet's for several data sets, which counts its metrics
        yield
        return
    given = evaluator.metrics
    coco, panoptic = (_of_mmdet(given, scope, name) for name in ('CocoMetric', 'CocoPanopticMetric'))
    detections = _Detections() if scope == 'mmdet' and (coco is not None or panoptic is None) else None
    collected.pixels = PixelConfusion(_WORST) if scope == 'mmseg' or panoptic is not None else None
    # First, as the panoptic metric writes into the maps.
    own = [metric for metric in (detections, collected.pixels) if metric is not None]
    for metric in own:
        metric.dataset_meta = dataset.metainfo
    evaluator.metrics = [*own, *given]
    try:
        with _panoptic_results(panoptic, collected):
            yield
    finally:
        evaluator.metrics = given
    if detections is not None:
        _take_detections(collected, detections.found, coco)


def _of_mmdet(metrics: Sequence[BaseMetric], scope: str, name: str) -> Any:
    """The first metric of a class of mmdet, or of one that inherits from it."""
    if scope != 'mmdet':
        return None
    from mmdet import evaluation

    return next((metric for metric in metrics if isinstance(metric, getattr(evaluation, name))), None)


@contextmanager
def _panoptic_results(metric: Any, collected: Collected) -> Iterator[None]:
    """Take the qualities of classes and images from mmdet's panoptic metric, which returns their means alone."""
    if metric is None:
        yield
        return
    compute = metric.compute_metrics

    def compute_and_note(results: list) -> dict[str, float]:
        computed = compute(results)
        # With `outfile_prefix` the results are files in the place of statistics.
        if metric.tmp_dir is not None:
            _note_qualities(results, list(metric.categories), collected)
        return computed

    metric.compute_metrics = compute_and_note
    try:
        yield
    finally:
        del metric.compute_metrics


def _note_qualities(results: list, categories: list, collected: Collected) -> None:
    total: dict[Any, list[float]] = {category: [0.0] * 4 for category in categories}
    for statistics in results:
        image = [0.0] * 4
        for category in categories:
            one = statistics[category]
            for place, value in enumerate((one.iou, one.tp, one.fp, one.fn)):
                total[category][place] += value
                image[place] += value
        collected.image_qualities.append(_qualities(*image)[0])
    # The metric has the categories in the order of the file, which is that of the classes.
    for name, sums in zip(collected.classes, total.values()):
        collected.panoptic[name] = _qualities(*sums)


def _qualities(iou: float, tp: float, fp: float, fn: float) -> tuple[float, float, float]:
    """PQ, SQ and RQ (arXiv 1801.00868), NaN where there is no segment."""
    if not tp + fp + fn:
        return (float('nan'),) * 3
    segments = tp + 0.5 * fp + 0.5 * fn
    return iou / segments, iou / tp if tp else float('nan'), tp / segments


def _take_detections(collected: Collected, found: list[Detections], coco: Any) -> None:
    """Take the truth of the metric, or make it of the data set where the metric is none of COCO."""
    collected.found = found
    kinds = coco.metrics if coco is not None else ['bbox']
    collected.kinds = tuple(kind for kind in ('bbox', 'segm') if kind in kinds)
    if coco is None:
        collected.truth = truth_of(collected.dataset)
        collected.category_ids = list(range(len(collected.classes)))
        collected.image_ids = [one.image_id for one in found]
    elif getattr(coco, '_coco_api', None) is not None:
        collected.truth, collected.category_ids = coco._coco_api, list(coco.cat_ids)
        collected.image_ids = list(coco.img_ids)


def truth_of(dataset: Any) -> Any:
    """The boxes of a data set of mmdet as pycocotools' `COCO`."""
    from pycocotools.coco import COCO

    images, annotations = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        images.append({'id': info['img_id']})
        for item in info.get('instances', ()):
            left, top, right, bottom = item['bbox']
            width, height = right - left, bottom - top
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': info['img_id'],
                    'category_id': int(item['bbox_label']),
                    'bbox': [left, top, width, height],
                    'area': width * height,
                    'iscrowd': int(item.get('ignore_flag', 0)),
                }
            )
    truth = COCO()
    names = dataset.metainfo['classes']
    truth.dataset = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': label, 'name': name} for label, name in enumerate(names)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth
