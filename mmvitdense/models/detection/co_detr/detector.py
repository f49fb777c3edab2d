"""The detector of Co-DETR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import DeformableDetrTransformerEncoderLayer, inverse_sigmoid
from mmdet.models.layers.transformer import coordinate_to_encoding
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS as DETECTION_MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmvitdense.layers import recomputed
from mmvitdense.registry import MODELS

from ..dino import DINO
from .positives import Candidates, positive_queries

_MODES = ('detr', 'two-stage', 'one-stage')


class CheckpointedEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """A layer of the encoder that computes its inside again for the gradients, in place of keeping it."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """As its base."""
        return recomputed(super().forward, *args, when=True, **kwargs)


@MODELS.register_module()
class CoDETR(DINO):
    """DINO whose encoder also learns from a Faster R-CNN and an ATSS on its output, and whose decoder learns from what
    these find positive (Co-DINO, arXiv 2211.12860; `projects/models/co_detr.py` of Sense-X/Co-DETR).

    In training the decoder runs once as in DINO, and once for each auxiliary head with its positives as queries. The
    auxiliary heads are not needed to predict with the queries: leave them out, or let them stand.

    Their losses are called as those of mmdet with a number behind, 0 for the RoI head and 1 for the dense one; those of
    the additional passes of the decoder 'loss_cls_aux0' and so on.

    Args:
        args: As for mmdet's `DINO`. `num_cp` of `encoder` is the number of its layers that are computed again for
            the gradients; no other package is needed for it.
        rpn_head: Region proposals for `roi_head`; options under 'rpn' and 'rpn_proposal' of `train_cfg` and 'rpn'
            of `test_cfg`. Its anchors have one stride more than the neck has maps.
        roi_head: A `CoStandardRoIHead`; options under 'rcnn'.
        dense_head: A `CoATSSHead`; options under 'dense'.
        mask_head: A `CoMaskHead` for masks of what the queries find; options under 'mask'.
        with_pos_coord: Whether the decoder learns from positives of the auxiliary heads (off in ablations).
        aux_loss_weight: Weight of the losses of these passes of the decoder (lambda 1 of the paper).
        max_pos_coords: Most queries of such a pass.
        use_zero_padding: See `positive_queries`.
        with_attn_mask: Whether the padding of a batch is hidden. False takes the padded square as the image, as the
            released recipes with large-scale jittering do, in training and testing; boxes may then lie in the padding.
        eval_module: What predicts: 'detr' the queries, 'two-stage' the RoI head, 'one-stage' the dense head.
        kwargs: As for mmdet's `DINO`.

    Raises:
        ValueError: An auxiliary head is missing that is needed, an option is unknown, or more layers are to be computed
            again than there are.
    """

    def __init__(
        self,
        *args: Any,
        encoder: dict,
        rpn_head: dict | None = None,
        roi_head: dict | None = None,
        dense_head: dict | None = None,
        mask_head: dict | None = None,
        with_pos_coord: bool = True,
        aux_loss_weight: float = 1.0,
        max_pos_coords: int = 300,
        use_zero_padding: bool = False,
        with_attn_mask: bool = True,
        eval_module: str = 'detr',
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        _check_heads(eval_module, rpn_head, roi_head, dense_head)
        if mask_head is not None and eval_module != 'detr':
            raise ValueError(f'eval_module={eval_module!r} has no masks: leave mask_head out, or take detr.')
        encoder = dict(encoder)
        num_checkpointed = max(encoder.pop('num_cp', 0), 0)
        if num_checkpointed > encoder['num_layers']:
            raise ValueError(
                f'num_cp of the encoder got {num_checkpointed} and it has {encoder["num_layers"]} layers; expected at '
                'most as many: lower num_cp.'
            )
        super().__init__(*args, encoder=encoder, train_cfg=train_cfg, test_cfg=test_cfg, **kwargs)
        for index in range(num_checkpointed):
            self.encoder.layers[index] = CheckpointedEncoderLayer(**self.encoder.layer_cfg)
        self.aux_loss_weight, self.max_pos_coords = aux_loss_weight, max_pos_coords
        self.use_zero_padding, self.with_attn_mask = use_zero_padding, with_attn_mask
        self.eval_module = eval_module
        self.rpn_head = _head(rpn_head, train_cfg, test_cfg, 'rpn')
        self.roi_head = _head(roi_head, train_cfg, test_cfg, 'rcnn')
        self.dense_head = _head(dense_head, train_cfg, test_cfg, 'dense')
        self.mask_head = _head(mask_head, train_cfg, test_cfg, 'mask')
        num_heads = sum(head is not None for head in (self.roi_head, self.dense_head))
        width = self.embed_dims
        self.downsample = None
        if num_heads:
            self.downsample = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.GroupNorm(32, width))
        num_passes = num_heads if with_pos_coord else 0
        self.aux_pos_trans = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(num_passes))
        self.aux_pos_trans_norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(num_passes))

    def init_weights(self) -> None:
        """As the released code: DINO's, with contents of queries of variance one."""
        super().init_weights()
        nn.init.normal_(self.query_embedding.weight)
        for layer in self.aux_pos_trans:
            nn.init.xavier_uniform_(layer.weight)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> dict[str, Any]:
        """Losses of a batch, B x 3 x H x W, and its samples with true boxes."""
        samples = self._as_seen(batch_data_samples)
        maps = self.extract_feat(batch_inputs)
        memory, geometry, of_queries = self._encode(maps, samples)
        decoded = self._decode(memory, geometry, of_queries, samples)
        losses = self.bbox_head.loss(**decoded, batch_data_samples=samples)
        encoded = self._memory_maps(memory, maps)
        if self.mask_head is not None:
            losses.update(self._loss_of_masks(encoded, decoded, samples))
        if self.downsample is None:
            return losses
        of_heads, candidates = self._auxiliary_losses(encoded, samples)
        losses.update(of_heads)
        sizes = [tuple(sample.img_shape[:2]) for sample in samples]
        for index in range(len(self.aux_pos_trans)):
            found = self._loss_of_positives(index, candidates[index], memory, geometry, sizes)
            losses.update({f'{name}{index}': loss * self.aux_loss_weight for name, loss in found.items()})
        return losses

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Samples with `pred_instances`, in pixels of the original images if `rescale`."""
        samples = self._as_seen(batch_data_samples)
        maps = self.extract_feat(batch_inputs)
        memory, geometry, of_queries = self._encode(maps, samples)
        if self.eval_module == 'detr':
            decoded = self._decode(memory, geometry, of_queries, samples)
            results = self.bbox_head.predict(**decoded, rescale=rescale, batch_data_samples=samples)
            if self.mask_head is not None:
                metas = [sample.metainfo for sample in batch_data_samples]
                self.mask_head.predict(self._memory_maps(memory, maps), results, metas, rescale)
        else:
            results = self._predict_by_auxiliary(self._memory_maps(memory, maps), samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def forward_transformer(self, img_feats: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]) -> dict:
        """What the head of the queries takes, of maps of the neck."""
        samples = self._as_seen(batch_data_samples)
        return self._decode(*self._encode(img_feats, samples), samples)

    def _as_seen(self, samples: Sequence[DetDataSample]) -> Sequence[DetDataSample]:
        """The samples, whose images are the whole padded batch if there is no mask."""
        if self.with_attn_mask:
            return samples
        return [sample.new(metainfo={**sample.metainfo, 'img_shape': sample.batch_input_shape}) for sample in samples]

    def _encode(self, maps: Sequence[Tensor], samples: Sequence[DetDataSample]) -> tuple[Tensor, dict, dict]:
        """Memory, B x N x C; sizes and masks of its levels for the decoder; the same for what comes before it."""
        inputs, geometry = self.pre_transformer(maps, samples)
        encoded = self.forward_encoder(**inputs)
        memory = encoded.pop('memory')
        return memory, geometry, encoded

    def _decode(self, memory: Tensor, geometry: dict, encoded: dict, samples: Sequence[DetDataSample]) -> dict:
        inputs, of_head = self.pre_decoder(memory=memory, **encoded, batch_data_samples=samples)
        return {**of_head, **self.forward_decoder(**{**geometry, **inputs})}

    def _memory_maps(self, memory: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """The memory as maps of the sizes of those of the neck, and for the auxiliary heads one of half the size of the
        last."""
        sizes = [level.shape[-2:] for level in maps]
        levels = memory.transpose(1, 2).split([height * width for height, width in sizes], dim=-1)
        found = [level.unflatten(-1, tuple(size)).contiguous() for level, size in zip(levels, sizes)]
        return found if self.downsample is None else [*found, self.downsample(found[-1])]

    def _loss_of_masks(
        self, maps: Sequence[Tensor], decoded: dict, samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor]:
        instances, ignored, metas = unpack_gt_instances(list(samples))
        boxes = self.bbox_head.boxes_in_training(decoded['hidden_states'], decoded['references'], metas)
        return self.mask_head.loss(maps, boxes, instances, ignored)

    def _auxiliary_losses(
        self, maps: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, Any], list[Candidates]]:
        losses, found = {}, []
        if self.roi_head is not None:
            settings = self.train_cfg.get('rpn_proposal', self.test_cfg['rpn'])
            of_rpn, proposals = self.rpn_head.loss_and_predict(maps, _without_classes(samples), proposal_cfg=settings)
            losses.update(of_rpn)
            found.append(self.roi_head.loss_and_candidates(maps, proposals, samples))
        if self.dense_head is not None:
            found.append(self.dense_head.loss_and_candidates(maps, samples))
        for index, (of_head, _) in enumerate(found):
            losses.update({f'{name}{index}': loss for name, loss in of_head.items()})
        return losses, [candidates for _, candidates in found]

    def _loss_of_positives(
        self, index: int, candidates: Candidates, memory: Tensor, geometry: dict, sizes: Sequence[tuple[int, int]]
    ) -> dict[str, Tensor]:
        """Losses of a pass of the decoder over the positives of an auxiliary head."""
        num_classes = self.bbox_head.num_classes
        queries = positive_queries(candidates, sizes, num_classes, self.max_pos_coords, self.use_zero_padding)
        # x, y, width, height, where the positions in the decoder begin with y. Anchors may reach beyond the image.
        boxes = inverse_sigmoid(queries.boxes).sigmoid()[..., [1, 0, 2, 3]]
        code = coordinate_to_encoding(boxes, num_feats=self.embed_dims // 2)
        content = self.aux_pos_trans_norm[index](self.aux_pos_trans[index](code))
        decoded = self.forward_decoder(
            query=content, memory=memory, reference_points=queries.boxes, dn_mask=None, **geometry
        )
        return self.bbox_head.loss_positives(**decoded, queries=queries, image_sizes=sizes)

    def _predict_by_auxiliary(
        self, maps: Sequence[Tensor], samples: Sequence[DetDataSample], rescale: bool
    ) -> list[InstanceData]:
        if self.eval_module == 'one-stage':
            return self.dense_head.predict(maps, samples, rescale=rescale)
        proposals = self.rpn_head.predict(maps, samples, rescale=False)
        return self.roi_head.predict(maps, proposals, samples, rescale=rescale)


def _check_heads(eval_module: str, rpn_head: dict | None, roi_head: dict | None, dense_head: dict | None) -> None:
    if eval_module not in _MODES:
        raise ValueError(f'eval_module got {eval_module!r}, expected one of {", ".join(map(repr, _MODES))}.')
    if (rpn_head is None) != (roi_head is None):
        lacking = 'rpn_head' if rpn_head is None else 'roi_head'
        raise ValueError(f'CoDETR got no {lacking}; expected rpn_head and roi_head together: give both or none.')
    needed = {'two-stage': ('rpn_head and roi_head', roi_head), 'one-stage': ('dense_head', dense_head)}
    if eval_module in needed and needed[eval_module][1] is None:
        raise ValueError(f'eval_module={eval_module!r} predicts by {needed[eval_module][0]}; expected one, got None.')


def _head(head: dict | None, train_cfg: dict | None, test_cfg: dict | None, name: str) -> nn.Module | None:
    """Build a head with its part of the options."""
    if head is None:
        return None
    train_cfg, test_cfg = train_cfg or {}, test_cfg or {}
    return DETECTION_MODELS.build({**head, 'train_cfg': train_cfg.get(name), 'test_cfg': test_cfg.get(name)})


def _without_classes(samples: Sequence[DetDataSample]) -> list[DetDataSample]:
    """Samples whose objects are all of one class, for region proposals."""
    found = []
    for sample in samples:
        alike = DetDataSample(metainfo=sample.metainfo)
        boxes, labels = sample.gt_instances.bboxes, sample.gt_instances.labels
        alike.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros_like(labels))
        if 'ignored_instances' in sample:
            alike.ignored_instances = sample.ignored_instances
        found.append(alike)
    return found
