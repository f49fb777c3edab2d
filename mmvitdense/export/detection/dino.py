"""DINO, from pixels to boxes, with deformable attention as GridSample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.detectors import DINO
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor, nn

from ..best import best
from ..errors import ExportError
from ..pixels import inside


class Dino(nn.Module):
    """mmdet's `DINO` or ours.

    The sizes of the maps are numbers of Python here, where mmdet makes a tensor of them. Images of any shape lie in one
    batch, as padding is masked out of the maps.

    Args:
        detector: The model.
        pixels: The preprocessing, see `Pixels`.

    Raises:
        ExportError: its head has a class of 'no object'.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, detector: DINO, pixels: nn.Module):
        super().__init__()
        head = detector.bbox_head
        if not head.loss_cls.use_sigmoid:
            raise ExportError('The bbox_head of DINO has use_sigmoid=False in loss_cls; expected True, as published.')
        self.pixels, self.detector, self.head = pixels, detector, head
        self.most = head.test_cfg.get('max_per_img', detector.num_queries)

    def forward(self, image: Tensor, size: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect; arguments and results as of `TwoStage`, without masks."""
        detector = self.detector
        maps = detector.extract_feat(self.pixels(image, size))
        tokens, positions, mask, shapes, ratios = self._tokens(maps, inside(size, *image.shape[-2:]))
        memory = detector.encoder(
            query=tokens,
            query_pos=positions,
            key_padding_mask=mask,
            spatial_shapes=shapes,
            level_start_index=None,
            valid_ratios=ratios,
        )
        queries, _ = detector.pre_decoder(memory, mask, shapes, None)
        states, references = detector.decoder(
            query=queries['query'],
            value=queries['memory'],
            key_padding_mask=mask,
            self_attn_mask=None,
            reference_points=queries['reference_points'],
            spatial_shapes=shapes,
            level_start_index=None,
            valid_ratios=ratios,
            reg_branches=self.head.reg_branches,
        )
        logits, boxes = self.head(states, list(references))
        return self._best(logits[-1], boxes[-1], size, scale)

    def _tokens(
        self, maps: Sequence[Tensor], inside_image: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, int]], Tensor]:
        """Tokens of all levels, positions, which are padding, the sizes of the maps, and the shares that are image."""
        outside = (~inside_image).float()[None]
        shapes = [tuple(part.shape[-2:]) for part in maps]
        masks = [F.interpolate(outside, size=shape)[0] > 0 for shape in shapes]
        positions = [
            self.detector.positional_encoding(mask).flatten(2).transpose(1, 2) + level
            for mask, level in zip(masks, self.detector.level_embed)
        ]
        ratios = torch.stack([self.detector.get_valid_ratio(mask) for mask in masks], 1)
        tokens = torch.cat([part.flatten(2).transpose(1, 2) for part in maps], 1)
        return tokens, torch.cat(positions, 1), torch.cat([m.flatten(1) for m in masks], 1), shapes, ratios

    def _best(self, logits: Tensor, boxes: Tensor, size: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scores, places = best(logits.sigmoid().flatten(1), self.most)
        queries, labels = places // logits.shape[-1], places % logits.shape[-1]
        boxes = bbox_cxcywh_to_xyxy(boxes.gather(1, queries[..., None].expand(-1, -1, 4)))
        limits = size.flip(1).repeat(1, 2)[:, None].to(boxes)
        boxes = torch.minimum((boxes * limits).clamp(min=0), limits)
        return boxes / scale.repeat(1, 2)[:, None], scores, labels
