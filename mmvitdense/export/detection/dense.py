"""Detectors of one stage: RetinaNet, ATSS, FCOS, GFL and others whose heads predict as mmdet's `BaseDenseHead`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import GFLHead, RPNHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector
from torch import Tensor, nn

from ..best import best
from ..errors import ExportError
from .boxes import NOTHING, Suppression, decode, rescaled, without_small


class Dense(nn.Module):
    """A detector of one stage, from pixels to boxes.

    Args:
        detector: A `SingleStageDetector` of mmdet.
        pixels: The preprocessing, see `Pixels`.
        maps: What the neck gives for an image of the size of the file, for which the anchors are made.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, detector: SingleStageDetector, pixels: nn.Module, maps: Sequence[Tensor]):
        super().__init__()
        head, cfg = detector.bbox_head, detector.test_cfg
        _check_head(head)
        self.pixels, self.detector, self.head = pixels, detector, head
        self.integrates = isinstance(head, GFLHead)
        self.score_thr, self.before = cfg.get('score_thr', 0), cfg.get('nms_pre', -1)
        self.smallest = cfg.get('min_bbox_size', -1)
        self.suppress = Suppression(cfg.nms, cfg.max_per_img)
        if self.before < 1:
            raise ExportError(f'test_cfg.nms_pre is {self.before}; expected how many boxes of a level count, as 1000.')
        sizes = [tuple(part.shape[-2:]) for part in maps]
        for level, priors in enumerate(head.prior_generator.grid_priors(sizes, device='cpu')):
            self.register_buffer(f'priors_{level}', priors, persistent=False)

    def forward(self, image: Tensor, size: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect; arguments and results as of `TwoStage`, without masks."""
        outputs = self.head(self.detector.extract_feat(self.pixels(image, size)))
        images = [
            self._of_image(
                [[part[index] for part in of_level] for of_level in zip(*outputs)], size[index], scale[index]
            )
            for index in range(image.shape[0])
        ]
        return tuple(torch.stack(parts) for parts in zip(*images))

    def _of_image(
        self, levels: Sequence[Sequence[Tensor]], size: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = [self._of_level(level, size, *parts) for level, parts in enumerate(levels)]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*found))
        boxes = rescaled(boxes, scale)
        kept = self.suppress(boxes, without_small(boxes, scores, self.smallest), labels)
        labels = torch.cat([labels, labels.new_full((self.suppress.most,), -1)])[kept.sources]
        nothing = kept.scores <= NOTHING
        return kept.boxes, torch.where(nothing, 0, kept.scores), torch.where(nothing, -1, labels)

    def _of_level(
        self, level: int, size: Tensor, scores: Tensor, deltas: Tensor, factors: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        head, priors = self.head, getattr(self, f'priors_{level}')
        scores = scores.permute(1, 2, 0).reshape(-1, head.cls_out_channels)
        scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[:, :-1]
        classes = scores.shape[1]
        counting = torch.where(scores > self.score_thr, scores, NOTHING).flatten()
        counting, places = best(counting, min(self.before, counting.numel()))
        kept, deltas = places // classes, deltas.permute(1, 2, 0)
        if self.integrates:
            deltas = head.integral(deltas)[kept] * head.prior_generator.strides[level][0]
            boxes = decode(head.bbox_coder, head.anchor_center(priors[kept]), deltas, size)
        else:
            deltas = deltas.reshape(-1, head.bbox_coder.encode_size)[kept]
            boxes = decode(head.bbox_coder, priors[kept], deltas, size)
        if factors is not None:
            factors = factors.permute(1, 2, 0).reshape(-1).sigmoid()[kept]
            counting = torch.where(counting > NOTHING, counting * factors, NOTHING)
        return boxes, counting, places % classes


def _check_head(head: nn.Module) -> None:
    """Refuse heads that make boxes in another way than is written here."""
    known = (BaseDenseHead._predict_by_feat_single, GFLHead._predict_by_feat_single)
    if (
        not isinstance(head, BaseDenseHead)
        or isinstance(head, RPNHead)
        or type(head)._predict_by_feat_single not in known
        or type(head)._bbox_post_process is not BaseDenseHead._bbox_post_process
        or getattr(head.loss_cls, 'custom_cls_channels', False)
    ):
        raise ExportError(
            f'The bbox_head is a {type(head).__name__}, whose way to boxes is not known here; what can be exported is '
            'RetinaHead, ATSSHead, FCOSHead, GFLHead and others that predict as BaseDenseHead of mmdet.'
        )
