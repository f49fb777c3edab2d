"""Detectors with regions: Mask R-CNN, Faster R-CNN, and the cascades of mmdet and detectron2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from torch import Tensor, nn

from mmvitdense.models.detection import Detectron2CascadeRoIHead

from ..errors import ExportError
from ..pasting import paste
from .boxes import NOTHING, Boxes, Suppression, decode, rescaled
from .proposals import Proposals
from .regions import Regions

Maps = Sequence[Tensor]


class _Stage(nn.Module):
    """One box head: scores and boxes of regions."""

    def __init__(self, extractor: nn.Module, head: nn.Module):
        super().__init__()
        self.regions, self.head = Regions(extractor), head

    def forward(self, maps: Maps, rois: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.regions(maps, rois))

    def probabilities(self, logits: Tensor) -> Tensor:
        """N x (C + 1), background last."""
        return self.head.loss_cls.get_activation(logits) if self.head.custom_cls_channels else logits.softmax(-1)

    def boxes(self, rois: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
        """N x C x 4, or N x 1 x 4 where all classes share a box."""
        count = 1 if self.head.reg_class_agnostic else self.head.num_classes
        priors = rois[:, None, 1:].expand(-1, count, -1).reshape(-1, 4)
        deltas = deltas.reshape(-1, self.head.bbox_coder.encode_size)
        return decode(self.head.bbox_coder, priors, deltas, size).reshape(-1, count, 4)

    def refined(self, rois: Tensor, logits: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
        """Regions for the next stage: the box of the class with the highest score."""
        boxes = self.boxes(rois, deltas, size)
        if boxes.shape[1] == 1:
            boxes = boxes[:, 0]
        else:
            scores = self.head.loss_cls.get_activation(logits) if self.head.custom_activation else logits
            labels = scores[:, :-1].argmax(1)
            boxes = boxes[torch.arange(len(boxes), device=boxes.device), labels]
        return torch.cat([rois[:, :1], boxes], dim=1)


class BoxStages(nn.Module):
    """The box heads of a RoI head, one or several.

    Args:
        roi_head: mmdet's `StandardRoIHead` or `CascadeRoIHead`, or `Detectron2CascadeRoIHead`.
    """

    def __init__(self, roi_head: nn.Module):
        super().__init__()
        self.averages_logits = isinstance(roi_head, CascadeRoIHead)
        if isinstance(roi_head, CascadeRoIHead):
            pairs = zip(roi_head.bbox_roi_extractor, roi_head.bbox_head)
        elif isinstance(roi_head, Detectron2CascadeRoIHead):
            pairs = ((roi_head.bbox_roi_extractor, head) for head in roi_head.bbox_head)
        else:
            pairs = [(roi_head.bbox_roi_extractor, roi_head.bbox_head)]
        self.stages = nn.ModuleList(_Stage(*pair) for pair in pairs)

    def forward(self, maps: Maps, rois: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities N x (C + 1) and boxes N x C (or 1) x 4 of the regions of one image."""
        results = []
        for stage in self.stages:
            if results:
                rois = self.stages[len(results) - 1].refined(rois, *results[-1], size)
            results.append(stage(maps, rois))
        last = self.stages[-1]
        boxes = last.boxes(rois, results[-1][1], size)
        if self.averages_logits:
            return last.probabilities(sum(logits for logits, _ in results) / float(len(results))), boxes
        scores = [stage.probabilities(logits) for stage, (logits, _) in zip(self.stages, results)]
        return scores[0] if len(scores) == 1 else torch.stack(scores).mean(0), boxes


class RegionMasks(nn.Module):
    """Masks of boxes, the mean over the mask heads where a cascade has several.

    Args:
        roi_head: As for `BoxStages`.
    """

    def __init__(self, roi_head: nn.Module):
        super().__init__()
        if isinstance(roi_head, CascadeRoIHead):
            extractors, heads = roi_head.mask_roi_extractor, roi_head.mask_head
        else:
            extractors, heads = [roi_head.mask_roi_extractor], [roi_head.mask_head]
        self.regions = nn.ModuleList(Regions(extractor) for extractor in extractors)
        self.heads = nn.ModuleList(heads)

    def forward(self, maps: Maps, rois: Tensor, labels: Tensor) -> Tensor:
        """Probabilities N x m x m."""
        masks = [head(regions(maps, rois)).sigmoid() for regions, head in zip(self.regions, self.heads)]
        mean = masks[0] if len(masks) == 1 else torch.stack(masks).mean(0)
        if self.heads[-1].class_agnostic:
            return mean[:, 0]
        return mean[torch.arange(len(labels), device=labels.device), labels]


class TwoStage(nn.Module):
    """A detector with regions, from pixels to boxes and masks.

    Args:
        detector: A `TwoStageDetector` of mmdet.
        pixels: The preprocessing, see `Pixels`.
        maps: What the neck gives for an image of the size of the file, for the sizes of the maps.
        pasted: Whether masks are put into the image, as B x K x H x W of 0 and 1, or stay as they are predicted for
            each box, B x K x m x m probabilities.
    """

    def __init__(self, detector: TwoStageDetector, pixels: nn.Module, maps: Maps, pasted: bool = False):
        super().__init__()
        roi_head = detector.roi_head
        _check_head(roi_head)
        cfg = detector.test_cfg.rcnn
        self.pixels, self.detector = pixels, detector
        self.proposals = Proposals(detector.rpn_head, [tuple(part.shape[-2:]) for part in maps])
        self.box_stages = BoxStages(roi_head)
        self.score_thr, self.suppress = cfg.score_thr, Suppression(cfg.nms, cfg.max_per_img)
        self.masks = RegionMasks(roi_head) if roi_head.with_mask else None
        self.mask_thr = cfg.get('mask_thr_binary', 0.5)
        self.pasted = pasted and roi_head.with_mask
        self.outputs = ('boxes', 'scores', 'labels') + (('masks',) if roi_head.with_mask else ())

    def forward(self, image: Tensor, size: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            image: B x 3 x H x W, see `Pixels`.
            size: B x 2, height and width of the images, which lie in the upper left.
            scale: B x 2, by how much the original images were stretched horizontally and vertically.

        Returns:
            Boxes B x K x 4 in pixels of the original images, scores B x K and labels B x K, best first, 0 and -1 where
            there is nothing; and masks.
        """
        maps = self.detector.extract_feat(self.pixels(image, size))
        results = [
            self._of_image(maps, index, proposals, size[index], scale[index])
            for index, proposals in enumerate(self.proposals(maps, size))
        ]
        boxes, scores, labels = (torch.stack(parts) for parts in zip(*results))
        if self.masks is None:
            return boxes, scores, labels
        rois = torch.cat([_rois(index, of_image) for index, of_image in enumerate(boxes)])
        masks = self.masks(maps, rois, labels.flatten().clamp(min=0))
        if self.pasted:
            masks = paste(masks, boxes.flatten(0, 1), *image.shape[-2:]) >= self.mask_thr
            masks = (masks & (labels.flatten() >= 0)[:, None, None]).to(torch.uint8)
        boxes = boxes / scale.repeat(1, 2)[:, None]
        return boxes, scores, labels, masks.unflatten(0, labels.shape)

    def _of_image(
        self, maps: Maps, index: int, proposals: Boxes, size: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        probabilities, boxes = self.box_stages(maps, _rois(index, proposals.boxes), size)
        if self.masks is None:  # without masks mmdet suppresses in pixels of the original image
            boxes = rescaled(boxes, scale)
        scores = torch.where(proposals.scores[:, None] > NOTHING, probabilities[:, :-1], NOTHING)
        classes = scores.shape[1]
        boxes = boxes.expand(-1, classes, -1).reshape(-1, 4)
        places = (scores.flatten() > self.score_thr).nonzero()[:, 0]
        found = self.suppress(boxes[places], scores.flatten()[places], places % classes)
        labels = torch.cat([places % classes, places.new_full((self.suppress.most,), -1)])[found.sources]
        nothing = found.scores <= NOTHING
        return found.boxes, torch.where(nothing, 0, found.scores), torch.where(nothing, -1, labels)


def _rois(index: int, boxes: Tensor) -> Tensor:
    return torch.cat([boxes.new_full((len(boxes), 1), index), boxes], dim=1)


def _check_head(roi_head: nn.Module) -> None:
    if type(roi_head) not in (StandardRoIHead, CascadeRoIHead, Detectron2CascadeRoIHead):
        raise ExportError(
            f'The roi_head is a {type(roi_head).__name__}; what can be exported is StandardRoIHead, CascadeRoIHead and '
            'Detectron2CascadeRoIHead.'
        )
    if roi_head.with_shared_head:
        raise ExportError('The roi_head has a shared_head, which is not exported: it is for models without a pyramid.')
