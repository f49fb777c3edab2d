"""Proposals of a region proposal network, as mmdet's `RPNHead` makes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import RPNHead
from torch import Tensor, nn

from ..best import best
from .boxes import Boxes, Suppression, decode, without_small


class Proposals(nn.Module):
    """Boxes that may hold an object.

    Args:
        head: The network.
        map_sizes: (height, width) of the maps, for which the anchors are made.
    """

    def __init__(self, head: RPNHead, map_sizes: Sequence[tuple[int, int]]):
        super().__init__()
        cfg = head.test_cfg
        self.head = head
        self.before, self.smallest = cfg.get('nms_pre', -1), cfg.get('min_bbox_size', -1)
        self.suppress = Suppression(cfg.nms, cfg.max_per_img)
        for level, anchors in enumerate(head.prior_generator.grid_priors(map_sizes, device='cpu')):
            self.register_buffer(f'anchors_{level}', anchors, persistent=False)

    def forward(self, maps: Sequence[Tensor], sizes: Tensor) -> list[Boxes]:
        """Proposals of each of B images from B x C x h x w maps; `sizes` are B x 2."""
        scores, deltas = self.head(maps)
        return [
            self._of_image([score[image] for score in scores], [delta[image] for delta in deltas], sizes[image])
            for image in range(maps[0].shape[0])
        ]

    def _of_image(self, scores: Sequence[Tensor], deltas: Sequence[Tensor], size: Tensor) -> Boxes:
        levels = [self._of_level(level, *parts) for level, parts in enumerate(zip(scores, deltas))]
        scores, deltas, anchors = (torch.cat(parts) for parts in zip(*levels))
        groups = torch.cat([torch.full_like(part[0], level, dtype=torch.long) for level, part in enumerate(levels)])
        boxes = decode(self.head.bbox_coder, anchors, deltas, size)
        return self.suppress(boxes, without_small(boxes, scores, self.smallest), groups)

    def _of_level(self, level: int, scores: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        anchors = getattr(self, f'anchors_{level}')
        scores = scores.permute(1, 2, 0).reshape(-1, self.head.cls_out_channels)
        deltas = deltas.permute(1, 2, 0).reshape(-1, self.head.bbox_coder.encode_size)
        scores = (scores.sigmoid() if self.head.use_sigmoid_cls else scores.softmax(-1)[:, :-1])[:, 0]
        if 0 < self.before < len(scores):
            scores, places = best(scores, self.before)
            deltas, anchors = deltas[places], anchors[places]
        return scores, deltas, anchors
