"""The proof of an exported file: its results beside those of PyTorch on real images."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from mmvitdense.export.comparison import Detections, Labels, mean_iou, relative_error
from mmvitdense.export.description import Description
from mmvitdense.export.runtimes import Arrays, Session
from mmvitdense.export.serving import EagerSession, arrays, size_of
from mmvitdense.export.truth import average_precisions, compressed

from .errors import InputError
from .export_images import Annotated, Folder, silent
from .export_model import ModelExport

_TENSORS_OF = 2
"""Images whose outputs are compared number by number."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """From which difference on a file is wrong.

    Attributes:
        metric: Of AP, PQ and mIoU, as shares of 1.
        box: Of a side of a box, in pixels.
        tensor: Of a map of numbers, as a share of the largest.
        unmatched: Share of the detections that one run has and the other lacks.
    """

    metric: float = 0.001
    box: float = 0.1
    tensor: float = 1e-3
    unmatched: float = 0.01


@dataclasses.dataclass
class Proof:
    """What was found.

    Attributes:
        runtime: What ran the file.
        images: How many were compared.
        tensors: Output -> largest difference as a share of the largest value, of the outputs that have an order.
        metrics: Metric -> (PyTorch, file), as shares of 1.
        truth: What the metrics count as true.
        detections, labels: Differences of results.
        failures: What is above a limit, a sentence each.
        inputs: The inputs of the image with the largest difference.
    """

    runtime: str
    images: int = 0
    tensors: dict[str, float] = dataclasses.field(default_factory=dict)
    metrics: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    truth: str = ''
    detections: Detections | None = None
    labels: Labels | None = None
    failures: list[str] = dataclasses.field(default_factory=list)
    inputs: Arrays | None = None

    def lines(self) -> list[str]:
        """As text."""
        lines = [f'{self.runtime} against PyTorch on {self.images} images:']
        for name, error in self.tensors.items():
            lines.append(f'  {name}: largest difference {error:.1e} of the largest value')
        if self.detections is not None:
            found = self.detections
            lines.append(
                f'  {found.found} detections: boxes within {found.box:.2g} pixels, scores within {found.score:.1e}, '
                f'mask overlap at least {found.mask_iou:.4f}, {found.unmatched} in one run alone'
                + (f' (scores up to {found.highest_unmatched:.3f})' if found.unmatched else '')
            )
        if self.labels is not None:
            lines.append(f'  labels: {self.labels.different} of {self.labels.pixels} pixels differ')
        for name, (first, second) in self.metrics.items():
            lines.append(
                f'  {name}: PyTorch {first:.4f}, file {second:.4f}, difference {abs(first - second):.4f} ({self.truth})'
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        content = dataclasses.asdict(self)
        del content['inputs']
        return {**content, 'passed': not self.failures}


def prove(export: ModelExport, session: Session, images: Annotated | Folder, limits: Limits) -> Proof:
    """Compare a file with the model in PyTorch.

    Args:
        export: The model.
        session: The file.
        images: To compare on. Where they have annotations, the metrics of the config are computed for both runs; else
            what PyTorch finds counts as true.
        limits: What is wrong.
    """
    proof = Proof(session.runtime)
    servers = _servers(export, session)
    annotated = isinstance(images, Annotated)
    evaluators = [images.evaluator(), images.evaluator()] if annotated and servers else []
    runs: tuple[list, list] = ([], [])
    eager = EagerSession(export.wrapped, session.description)
    ids = []
    for data in images:
        if proof.images < _TENSORS_OF or not servers:
            _compare_tensors(proof, eager, session, data)
        proof.images += 1
        ids += [sample.get('img_id') for sample in data['data_samples']]
        results = [server(data) for server in servers]
        found = [_compact(samples[0]) for samples in results]
        if found:
            _compare(proof, *found)
        for place, samples in enumerate(results):
            if evaluators:
                evaluators[place].process(samples, data)
            else:
                runs[place].append(compressed(found[place]))
    if not proof.images:
        raise InputError('There is no image that can be read to compare on.')
    if evaluators:
        proof.truth = 'annotations'
        found = [_evaluated(evaluator, len(images), ids) for evaluator in evaluators]
        proof.metrics = {name: (found[0][name], found[1][name]) for name in found[0] if name in found[1]}
    elif servers:
        proof.truth = "PyTorch's own predictions as truth"
        proof.metrics = _self_metrics(*runs)
    _judge(proof, limits)
    return proof


def _servers(export: ModelExport, session: Session) -> list:
    """What predicts samples in PyTorch, and with the file; nothing for label maps, which are compared as they are."""
    if export.description.task == 'semantic':
        if session.description.outputs != ('scores',):
            return []
        from mmvitdense.export.segmentor_serving import PaddedSegmentor, SegmentorServer

        eager = EagerSession(export.wrapped, session.description)
        return [PaddedSegmentor(export.model, eager), SegmentorServer(session)]
    from mmvitdense.export.detection.serving import DetectorServer, PaddedDetector

    if export.options.paste and export.description.task == 'boxes':
        return [DetectorServer(EagerSession(export.wrapped, session.description)), DetectorServer(session)]
    return [PaddedDetector(export.model, session), DetectorServer(session)]


def _compare_tensors(proof: Proof, eager: Session, session: Session, data: dict[str, Any]) -> None:
    """Compare outputs number by number, those of detectors as far as both have the same order."""
    inputs = inputs_of(session.description, data)
    reference, found = eager(inputs), session(inputs)
    if 'labels' in reference and len(reference) > 1:
        same = reference['labels'] == found['labels']
        reference, found = ({n: v[same] for n, v in run.items()} for run in (reference, found))
    for name in reference:
        error = relative_error(reference[name], found[name])
        if proof.inputs is None or error > max(proof.tensors.values(), default=0.0):
            proof.inputs = inputs
        proof.tensors[name] = max(proof.tensors.get(name, 0.0), error)


def inputs_of(description: Description, data: dict[str, Any]) -> Arrays:
    """Inputs of a file for an image of a data loader; of an image that is tested in windows the first window."""
    images, count = list(data['inputs']), description.batch or 1
    if not description.any_size:
        images = [image[:, : description.height, : description.width] for image in images]
    scales = [tuple(sample.get('scale_factor', (1.0, 1.0))) for sample in data['data_samples']]
    return arrays((images * count)[:count], (scales * count)[:count], description, size_of(description, images))


def _compact(sample: Any) -> dict[str, torch.Tensor]:
    """What is compared of a sample."""
    if 'pred_instances' in sample:
        return dict(sample.pred_instances.items())
    if 'pred_panoptic_seg' in sample:
        return {'map': sample.pred_panoptic_seg.sem_seg}
    return {'map': sample.pred_sem_seg.data}


def _compare(proof: Proof, first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    if 'map' in first:
        proof.labels = proof.labels or Labels()
        proof.labels.add(first['map'], second['map'])
    else:
        proof.detections = proof.detections or Detections()
        proof.detections.add(first, second)


def _evaluated(evaluator: Any, count: int, ids: list[Any]) -> dict[str, float]:
    """AP, PQ and mIoU of the images that were predicted, as shares of 1."""
    for metric in evaluator.metrics:
        if getattr(metric, '_coco_api', None) is not None and getattr(metric, 'img_ids', 0) is None:
            metric.img_ids = ids  # else the images left out would count as missed
    with silent():
        metrics = evaluator.evaluate(count)
    found = {}
    for name, value in metrics.items():
        kind = name.rpartition('/')[2]
        if kind.endswith('_mAP') or kind == 'mAP':
            found[name] = float(value)
        elif kind in ('mIoU', 'PQ'):
            found[name] = float(value) / 100
    return found


def _self_metrics(first: list[dict], second: list[dict]) -> dict[str, tuple[float, float]]:
    if 'map' in first[0]:
        maps = [[image['map'].long().flatten() for image in run] for run in (first, second)]
        return {'mIoU': (1.0, mean_iou(*maps))}
    return {f'{kind}_mAP': values for kind, values in average_precisions(first, second).items()}


def _judge(proof: Proof, limits: Limits) -> None:
    """Fill in what is above a limit."""
    say = proof.failures.append
    for name, (first, second) in proof.metrics.items():
        if not abs(first - second) <= limits.metric and not (math.isnan(first) and math.isnan(second)):
            say(f'{name} is {second:.4f} in the place of {first:.4f}; at most {limits.metric:g} apart is right.')
    for name, error in proof.tensors.items():
        if not error <= limits.tensor and proof.detections is None:
            say(f'{name} is {error:.1e} of its largest value away; at most {limits.tensor:g} is right.')
    found = proof.detections
    if found is not None:
        if not found.box <= limits.box:
            say(f'A box is {found.box:.3g} pixels away; at most {limits.box:g} is right.')
        if found.unmatched > limits.unmatched * 2 * max(found.found, 1):
            say(
                f'{found.unmatched} detections are in one run alone, of {found.found} of PyTorch; at most '
                f'{limits.unmatched:.0%} is right.'
            )
