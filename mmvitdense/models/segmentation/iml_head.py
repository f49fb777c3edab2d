"""The head of IML-ViT, which finds manipulated pixels (arXiv 2307.14863)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmvitdense.registry import MODELS


@MODELS.register_module()
class EdgeWeightedBCELoss(nn.Module):
    """Binary cross entropy over all pixels, and over those of a band with more weight (`iml_vit_model.py`).

    Both are means over all pixels, padding included, so that the second grows with the band.

    Args:
        edge_weight: Weight of the band, lambda of the paper.
        loss_weight: Weight of the sum.
        loss_name: Name in the log.
    """

    def __init__(self, edge_weight: float = 20.0, loss_weight: float = 1.0, loss_name: str = 'loss_bce'):
        super().__init__()
        self.edge_weight, self.loss_weight, self.loss_name = edge_weight, loss_weight, loss_name

    def forward(self, scores: Tensor, labels: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of all pixels and that of the band, of logits, labels and band of one shape."""
        losses = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), reduction='none')
        band = self.edge_weight * (losses * edges.to(scores.dtype)).mean()
        return self.loss_weight * losses.mean(), self.loss_weight * band


@MODELS.register_module()
class IMLHead(BaseDecodeHead):
    """Levels of a pyramid at the size of the first, a linear layer, a norm, dropout of single values, a linear layer.

    After `modules/decoderhead.py` of SunnyHaze/IML-ViT. The norm is learned in training and counts: batch norm needs
    more than a few images, `dict(type='IN', affine=True, track_running_stats=True)` and
    `dict(type='mmvitdense.LayerNorm2d', eps=1e-6)` are the other two of the release.

    Args:
        in_channels: Channels of each level.
        channels: Channels after the first layer.
        norm_cfg: The norm.
        dropout_ratio: Share of values, not of channels, that are dropped.
        loss_decode: Takes logits, labels and band, such as `EdgeWeightedBCELoss`; the samples need `gt_edge_map`,
            which `ManipulationEdge` makes.
        **options: Of mmseg's `BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256,) * 5,
        channels: int = 256,
        *,
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.5,
        threshold: float = 0.5,
        loss_decode: dict | None = None,
        in_index: Sequence[int] | None = None,
        num_classes: int = 2,
        out_channels: int = 1,
        **options: Any,
    ):
        if (num_classes, out_channels) != (2, 1):
            raise ValueError(
                f'IMLHead tells two classes apart by one score: expected num_classes=2 and out_channels=1, got '
                f'{num_classes} and {out_channels}'
            )
        super().__init__(
            in_channels=list(in_channels),
            in_index=list(range(len(in_channels))) if in_index is None else list(in_index),
            channels=channels,
            num_classes=2,
            out_channels=1,
            threshold=threshold,
            norm_cfg=norm_cfg or dict(type='BN'),
            dropout_ratio=dropout_ratio,
            input_transform='resize_concat',
            loss_decode=loss_decode or dict(type='mmvitdense.EdgeWeightedBCELoss'),
            **options,
        )
        self.fuse = nn.Conv2d(sum(in_channels), channels, 1)
        self.norm = build_norm_layer(self.norm_cfg, channels)[1]
        self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Score manipulation, B x 1 x h x w in the size of the first level, as logits."""
        return self.cls_seg(self.norm(self.fuse(self._transform_inputs(inputs))))

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """The losses of all pixels and of the band, at the size of the labels."""
        if any('gt_edge_map' not in sample for sample in batch_data_samples):
            raise ValueError(
                'IMLHead needs gt_edge_map with each sample: put mmvitdense.ManipulationEdge into the pipeline before '
                'the padding'
            )
        labels = torch.stack([sample.gt_sem_seg.data for sample in batch_data_samples])
        edges = torch.stack([sample.gt_edge_map.data for sample in batch_data_samples])
        scores = F.interpolate(seg_logits, labels.shape[-2:], mode='bilinear', align_corners=self.align_corners)
        loss, of_band = self.loss_decode(scores, labels, edges)
        agree = ((scores.detach() > 0) == (labels > 0)).float().mean()
        return {self.loss_decode.loss_name: loss, f'{self.loss_decode.loss_name}_edge': of_band, 'acc_seg': 100 * agree}
