"""Results of mask transformers, one query after the other: `MaskFormerFusionHead` in the memory of a few masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.dense_heads import MaskFormerHead
from mmdet.models.detectors import MaskFormer
from mmdet.models.seg_heads import MaskFormerFusionHead
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmvitdense.mask_codes import MaskCode, encode

from .mask_transformer_head import MaskTransformerHead


@dataclass(frozen=True)
class QueryMasks:
    """Masks of the queries of an image as a decoder gives them.

    Attributes:
        logits: Q x h x w.
        covered: (height, width) that they are of.
        image: (height, width) of the image inside, at the top left.
        size: (height, width) of the result.
    """

    logits: Tensor
    covered: tuple[int, int]
    image: tuple[int, int]
    size: tuple[int, int]

    def pixels(self, query: int) -> Tensor:
        """Logits of one query, height x width of the result: resized as mmdet does, to the input and from there."""
        masks = self.logits[query : query + 1].float()
        masks = F.interpolate(masks[None], size=self.covered, mode='bilinear', align_corners=False)[0]
        masks = masks[:, : self.image[0], : self.image[1]]
        return F.interpolate(masks[:, None], size=self.size, mode='bilinear', align_corners=False)[0, 0]


def follows_mask_former(model: MaskFormer) -> bool:
    """Whether a model predicts as `MaskFormer` does, with a head and a fusion whose steps are known here."""
    fusion, head = type(model.panoptic_fusion_head), type(model.panoptic_head)
    steps = ('predict', 'panoptic_postprocess', 'instance_postprocess')
    return (
        type(model).predict is MaskFormer.predict
        and all(getattr(fusion, step, None) is getattr(MaskFormerFusionHead, step) for step in steps)
        and head.predict in (MaskFormerHead.predict, MaskTransformerHead.predict)
    )


class BoundedFusion:
    """Predicts for a `MaskFormer` as its own `predict` does, with masks as run-length codes.

    Args:
        model: One that `follows_mask_former`.

    Attributes:
        score_thr: Instances below it are left out before their masks are made, as far as the score of the class tells
            it (that of the instance is no higher).
    """

    def __init__(self, model: MaskFormer):
        self._model = model
        self.score_thr = 0.0

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[Any], rescale: bool = True) -> Any:
        """Predict for N x 3 x H x W; the samples with `pred_instances`, `pred_panoptic_seg` or both."""
        model = self._model
        features = model.extract_feat(batch_inputs)
        head = model.panoptic_head
        classes, masks = head(features, batch_data_samples)
        if isinstance(head, MaskTransformerHead):
            covered, shown = features.covered, features.image_size or features.covered
        else:
            covered = shown = tuple(batch_data_samples[0].metainfo['batch_input_shape'])
        results = []
        for of_image, logits, sample in zip(classes[-1].float(), masks[-1], batch_data_samples):
            image = tuple(map(min, shown, sample.metainfo['img_shape'][:2]))
            size = tuple(sample.metainfo['ori_shape'][:2]) if rescale else image
            results.append(self._fuse(of_image, QueryMasks(logits, covered, image, size)))
        return model.add_pred_to_datasample(batch_data_samples, results)

    def _fuse(self, classes: Tensor, masks: QueryMasks) -> dict[str, Any]:
        fusion = self._model.panoptic_fusion_head
        options = fusion.test_cfg
        result = {}
        if options.get('panoptic_on', True):
            result['pan_results'] = _panoptic(fusion, classes, masks)
        if options.get('instance_on', False):
            result['ins_results'] = _instances(fusion, classes, masks, self.score_thr)
        if options.get('semantic_on', False):
            raise NotImplementedError('mmdet has no semantic results of a MaskFormer: set test_cfg.semantic_on=False.')
        return result


def _panoptic(fusion: MaskFormerFusionHead, classes: Tensor, masks: QueryMasks) -> PixelData:
    """`MaskFormerFusionHead.panoptic_postprocess`, with the best query of each pixel found query by query."""
    options = fusion.test_cfg
    scores, labels = classes.softmax(-1).max(-1)
    kept = (labels.ne(fusion.num_classes) & (scores > options.get('object_mask_thr', 0.8))).nonzero()[:, 0].tolist()
    device = classes.device
    owners = torch.full(masks.size, -1, dtype=torch.int16, device=device)
    confident = torch.zeros(masks.size, dtype=torch.bool, device=device)
    best = torch.full(masks.size, -1.0, device=device)
    areas = {}
    for place, query in enumerate(kept):
        probabilities = masks.pixels(query).sigmoid()
        inside = probabilities >= 0.5
        areas[place] = int(inside.sum())
        weighted = scores[query] * probabilities
        better = weighted > best
        best[better], confident[better] = weighted[better], inside[better]
        owners[better] = place
    del best
    segments = torch.full(masks.size, fusion.num_classes, dtype=torch.int32, device=device)
    number = 1
    for place, query in enumerate(kept):
        mask = owners == place
        area = int(mask.sum())
        if not area or not areas[place] or area / areas[place] < options.get('iou_thr', 0.8):
            continue
        label = int(labels[query])
        if options.get('filter_low_score', False):
            mask &= confident
        if label < fusion.num_things_classes:
            label, number = label + number * INSTANCE_OFFSET, number + 1
        segments[mask] = label
    return PixelData(sem_seg=segments[None])


def _instances(fusion: MaskFormerFusionHead, classes: Tensor, masks: QueryMasks, score_thr: float) -> InstanceData:
    """`MaskFormerFusionHead.instance_postprocess`, with the masks query by query."""
    scores = classes.softmax(-1)[:, :-1]
    scores, indices = scores.flatten().topk(fusion.test_cfg.get('max_per_image', 100), sorted=False)
    labels, queries = indices % fusion.num_classes, indices // fusion.num_classes
    wanted = (labels < fusion.num_things_classes) & (scores >= score_thr)
    scores, labels, queries = scores[wanted], labels[wanted], queries[wanted]
    made: dict[int, tuple[MaskCode, Tensor, Tensor]] = {}
    for query in queries.unique().tolist():
        made[query] = _made(masks.pixels(query))
    found = [made[query] for query in queries.tolist()]
    result = InstanceData()
    result.bboxes = torch.stack([box for _, _, box in found]) if found else scores.new_zeros((0, 4))
    result.labels = labels
    result.scores = scores * torch.stack([score for _, score, _ in found]) if found else scores
    result.masks = [code for code, _, _ in found]
    return result


def _made(logits: Tensor) -> tuple[MaskCode, Tensor, Tensor]:
    """Code, mean probability inside and box of a mask."""
    inside = logits > 0
    binary = inside.float()
    score = (logits.sigmoid() * binary).flatten().sum() / (binary.flatten().sum() + 1e-6)
    box = mask2bbox(inside[None])[0]
    left, top, right, bottom = (int(side) for side in box)
    code = encode(inside[top:bottom, left:right].cpu().numpy(), tuple(inside.shape), left, top)
    return code, score, box
