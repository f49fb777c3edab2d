"""Segments and instances of kMaX-DeepLab in mmdet's `MaskFormer`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from mmvitdense.option_types import Count, CountOrZero, NotNegative, Share, options_checked
from mmvitdense.registry import MODELS


class FusionOptions:
    """What `test_cfg` of a model with `KMaXFusionHead` may have; the values are those for COCO.

    Args:
        panoptic_on: Whether to make segments.
        instance_on: Whether to make instances.
        semantic_on: Must be False.
        mask_thr: Probability above which a pixel is of a mask.
        thing_thr: Probability of a class above which a thing is a segment.
        stuff_thr: The same of stuff.
        overlap_thr: What part of a mask must be left for a segment.
        class_power: Power of the probability of the class in the order of the masks.
        mask_power: Power of the mean probability of the mask in it.
        max_per_image: Instances of an image.
    """

    @options_checked
    def __init__(
        self,
        panoptic_on: bool = True,
        instance_on: bool = False,
        semantic_on: bool = False,
        mask_thr: Share = 0.4,
        thing_thr: Share = 0.7,
        stuff_thr: Share = 0.5,
        overlap_thr: Share = 0.8,
        class_power: NotNegative = 1.0,
        mask_power: NotNegative = 1.0,
        max_per_image: Count = 100,
    ):
        if semantic_on:
            raise ValueError('mmdet has no semantic results, got semantic_on=True: take KMaXSegHead in mmseg for them')
        self.panoptic_on, self.instance_on = panoptic_on, instance_on
        self.mask_thr, self.thing_thr, self.stuff_thr = mask_thr, thing_thr, stuff_thr
        self.overlap_thr, self.class_power, self.mask_power = overlap_thr, class_power, mask_power
        self.max_per_image = max_per_image


@MODELS.register_module()
class KMaXFusionHead(MaskFormerFusionHead):
    """The `panoptic_fusion_head` behind `KMaXHead`: segments and instances of masks that share out each pixel.

    After `kmax_model.py:panoptic_inference` and `instance_inference`. Queries are taken in the order of the
    probability of their class times the mean probability of their mask; each has the pixels where its mask is likely
    and that no other one has yet, unless too few are left.

    Args:
        num_things_classes: Classes whose objects are told apart.
        num_stuff_classes: All others.
        test_cfg: Of the model, see `FusionOptions`.
        init_cfg: Without effect, there are no weights.

    Raises:
        ValueError: `test_cfg` has an unknown option, or one of another kind.
    """

    def __init__(
        self,
        num_things_classes: CountOrZero = 80,
        num_stuff_classes: CountOrZero = 53,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(num_things_classes, num_stuff_classes, test_cfg, init_cfg=init_cfg)
        known = list(inspect.signature(FusionOptions).parameters)
        if unknown := sorted(set(test_cfg or {}) - set(known)):
            raise ValueError(f'test_cfg of {type(self).__name__} takes {known}, got {unknown}')
        self.options = FusionOptions(**(test_cfg or {}))

    def predict(
        self,
        mask_cls_results: Tensor,
        mask_pred_results: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = False,
        **kwargs: object,
    ) -> list[dict]:
        """Results of logits of classes, B x Q x (classes + 1), and of masks, B x Q x H x W over the padded images.

        Returns:
            For each image 'pan_results' and 'ins_results', as far as they are on, at its original size if `rescale`.
        """
        # As where the masks were enlarged to an image of a size such as 1281.
        corners = mask_pred_results.shape[-1] % 2 == 1
        results = []
        for classes, masks, sample in zip(mask_cls_results, mask_pred_results, batch_data_samples):
            height, width = sample.metainfo['img_shape'][:2]
            masks = masks[:, :height, :width]
            if rescale:
                size = tuple(sample.metainfo['ori_shape'][:2])
                masks = F.interpolate(masks[None], size=size, mode='bilinear', align_corners=corners)[0]
            result = {}
            if self.options.panoptic_on:
                result['pan_results'] = self.panoptic_postprocess(classes, masks)
            if self.options.instance_on:
                result['ins_results'] = self.instance_postprocess(classes, masks)
            results.append(result)
        return results

    def panoptic_postprocess(self, mask_cls: Tensor, mask_pred: Tensor) -> PixelData:
        """Segments, 1 x H x W of `class + instance * INSTANCE_OFFSET`, the number of classes where there is none.

        Args:
            mask_cls: Logits, Q x (classes + 1).
            mask_pred: Logits, Q x H x W.
        """
        scores, labels = mask_cls.softmax(-1)[:, :-1].max(-1)
        masks, sureness = self._binary(mask_pred)
        order = (scores**self.options.class_power * sureness**self.options.mask_power).argsort(descending=True)
        is_thing = labels < self.num_things_classes
        counts = scores > torch.where(is_thing, self.options.thing_thr, self.options.stuff_thr)
        segments = torch.full(masks.shape[1:], self.num_classes, dtype=torch.int32, device=masks.device)
        free = torch.ones_like(masks[0])
        things = 0
        for query in order[counts[order]].tolist():
            left = masks[query] & free
            if left.sum() <= masks[query].sum() * self.options.overlap_thr:
                continue
            things += int(is_thing[query])
            segments[left] = int(labels[query]) + (things * INSTANCE_OFFSET if is_thing[query] else 0)
            free &= ~left
        return PixelData(sem_seg=segments[None])

    def instance_postprocess(self, mask_cls: Tensor, mask_pred: Tensor) -> InstanceData:
        """The likeliest pairs of queries and things, with boxes, labels, scores and masks; arguments as above."""
        scores = mask_cls.softmax(-1)[:, :-1]
        scores, index = scores.flatten().topk(min(self.options.max_per_image, scores.numel()), sorted=False)
        labels, queries = index % self.num_classes, index // self.num_classes
        scores, labels, queries = (x[labels < self.num_things_classes] for x in (scores, labels, queries))
        masks, sureness = self._binary(mask_pred)
        masks = masks[queries]
        return InstanceData(bboxes=mask2bbox(masks), labels=labels, scores=scores * sureness[queries], masks=masks)

    def _binary(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Masks, Q x H x W of bool, and the mean probability of each, Q."""
        likely = logits.softmax(0)
        masks = likely > self.options.mask_thr
        return masks, (likely * masks).flatten(1).sum(1) / masks.flatten(1).sum(1).clamp(min=1)
