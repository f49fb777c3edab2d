"""HTCTTAModel: one view against mmdet's own prediction, mirror images, sizes of objects, masks of all stages."""

from pathlib import Path

import pytest
import torch

import mmvitdense  # noqa: F401  (mmdet needs what it supplies)

pytest.importorskip('mmdet')

from mmdet.models.roi_heads.htc_roi_head import HybridTaskCascadeRoIHead
from mmdet.models.test_time_augs import merge_aug_masks
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmvitdense.models.detection import HTCTTAModel
from mmvitdense.models.detection.htc_tta import _of_sizes

CONFIGS = Path(__file__).parents[3] / 'configs'
NMS = {'type': 'nms', 'iou_threshold': 0.5}
KEEP_ALL = {**NMS, 'iou_threshold': 1.0}
WIDE = {'in_channels', 'out_channels', 'conv_out_channels', 'feat_channels', 'fc_out_channels'}


def narrow(options):
    for name, value in options.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                narrow(part)
        if name in WIDE and value in (256, 1024):
            options[name] = 8
        if name == 'num_classes':
            options[name] = 3 if value == 80 else 4


@pytest.fixture(scope='module')
def detector():
    """That of the configs behind a small ResNet, with as few channels as it can have."""
    model = Config.fromfile(CONFIGS / '_base_/models/htc_vit-adapter.py').model
    narrow(model)
    model.backbone = dict(type='ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN'), norm_eval=False)
    model.neck = dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5)
    model.test_cfg.rpn.update(nms_pre=30, max_per_img=30)
    model.test_cfg.rcnn.update(nms=NMS, score_thr=0.05, max_per_img=30)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(model)
    detector.backbone.train()
    for _ in range(30):  # until the norms know their inputs
        detector.backbone(torch.randn(2, 3, 96, 96))
    # Scores that differ, and boxes that stay near the anchors.
    for head in detector.roi_head.bbox_head:
        nn.init.normal_(head.fc_cls.weight, std=3.0)
        nn.init.normal_(head.fc_reg.weight, std=1.0)
    nn.init.normal_(detector.rpn_head.rpn_reg.weight, std=0.3)
    return detector.eval()


def view(images, scale, flip=None):
    """A batch in one size, mirrored or not, as `tta_pipeline` packs it."""
    samples, inputs = [], []
    for number, image in enumerate(images):
        seen = nn.functional.interpolate(image[None], scale_factor=scale, mode='nearest')[0]
        meta = {'img_id': number, 'ori_shape': tuple(image.shape[-2:]), 'img_shape': tuple(seen.shape[-2:])}
        if flip:
            seen = seen.flip({'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}[flip])
        meta |= {'scale_factor': (scale, scale), 'flip': bool(flip), 'flip_direction': flip}
        samples.append(DetDataSample(metainfo=meta))
        inputs.append(seen)
    return {'inputs': inputs, 'data_samples': samples}


def together(*views):
    return {name: [each[name] for each in views] for name in ('inputs', 'data_samples')}


def merged(detector, *views, **options):
    cfg = {'score_thr': 0.05, 'nms': NMS, 'max_per_img': 30, **options}
    return [sample.pred_instances for sample in HTCTTAModel(detector, cfg).test_step(together(*views))]


@pytest.fixture(scope='module')
def images():
    return [torch.randn(3, *size) for size in ((96, 128), (128, 96))]


def test_one_view_is_what_the_detector_predicts(detector, images, monkeypatch):
    """Twice as large as the images, as often as one likes; of masks mmdet takes the last stage alone."""
    expected = [sample.pred_instances for sample in detector.test_step(view(images, 2))]
    monkeypatch.setattr(HTCTTAModel, '_masks_of', last_stage)
    for views in ([view(images, 2)], [view(images, 2), view(images, 2)]):
        for found, wanted in zip(merged(detector, *views), expected, strict=True):
            assert len(wanted) > 10
            assert wanted.masks.any()
            for name in ('bboxes', 'scores', 'labels', 'masks'):
                torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-3)


def last_stage(self, of_view, boxes, image):
    head, scale = self.module.roi_head, of_view.samples[image].scale_factor[0]
    maps, semantic = [each[image : image + 1] for each in of_view.maps], of_view.semantic[image : image + 1]
    (logits,) = HybridTaskCascadeRoIHead._mask_forward(head, -1, maps, bbox2roi([boxes * scale]), semantic, False)[
        'mask_preds'
    ]
    return merge_aug_masks([logits.sigmoid()], {})


def test_masks_are_means_of_stages_and_views(detector, images):
    """By the forward pass of the training, which goes through the stages up to the one that is asked for."""
    model = HTCTTAModel(detector, {'score_thr': 0.05, 'nms': NMS, 'max_per_img': 30})
    head, boxes = detector.roi_head, torch.tensor([[5.0, 9.0, 60.0, 80.0], [30.0, 10.0, 90.0, 50.0]])
    with torch.no_grad():
        seen, _ = model._boxes_of(view(images, 1))
        stages = [
            head._mask_forward(stage, seen.maps, bbox2roi([boxes, boxes[:0]]), seen.semantic)['mask_preds'].sigmoid()
            for stage in range(3)
        ]
        torch.testing.assert_close(model._masks_of(seen, boxes, 0), sum(stages) / 3)


@pytest.mark.parametrize('flip', ['horizontal', 'vertical', 'diagonal'])
def test_a_mirrored_image_seen_in_a_mirror(detector, images, flip):
    """Is the image: boxes, scores and masks are those of the view without a mirror."""
    axes = {'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}[flip]
    images = images[:1]
    mirrored = [image.flip(axes) for image in images]
    for found, wanted in zip(merged(detector, view(mirrored, 2, flip)), merged(detector, view(images, 2)), strict=True):
        boxes = wanted.bboxes.clone()
        height, width = wanted.masks.shape[-2:]
        for axis, side, last in ((0, width, -1), (1, height, -2)):
            if last in axes:
                boxes[:, [axis, axis + 2]] = side - wanted.bboxes[:, [axis + 2, axis]]
        torch.testing.assert_close(found.bboxes, boxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(found.scores, wanted.scores)
        assert (found.masks.flip(axes) != wanted.masks).float().mean() < 1e-3


def test_each_size_is_for_objects_of_some_sizes(detector, images, monkeypatch):
    """In pixels of the image itself; masks are predicted in the views of the other sizes too."""
    views, seen = [view(images[:1], 1), view(images[:1], 1, 'horizontal'), view(images[:1], 2)], []
    monkeypatch.setattr(
        HTCTTAModel, '_masks_of', lambda self, of, boxes, image: seen.append(of) or torch.ones(len(boxes), 3, 1, 1)
    )
    options = {'nms': KEEP_ALL, 'score_thr': 0.3, 'max_per_img': 10_000}
    alone = [merged(detector, each, **options)[0] for each in views]
    for ranges in ([['s'], ['m'], ['l']], [['m', 'l'], ['s', 'l'], ['s', 'm']]):
        seen.clear()
        (kept,) = merged(detector, *views, scale_ranges=ranges, **options)
        assert len(seen) == 3
        wanted = 0
        for found, sizes in zip(alone, ranges):
            width, height = (found.bboxes[:, 2:] - found.bboxes[:, :2]).unbind(1)
            area = width * height
            of = {'s': area <= 1024, 'm': (area > 1024) & (area <= 9216), 'l': area > 9216}
            wanted += sum(int(of[size].sum()) for size in sizes)
        assert 0 < wanted == len(kept) < sum(map(len, alone))


def test_sizes_where_each_class_has_a_box():
    boxes = torch.tensor([[0.0, 0, 10, 10, 0, 0, 50, 50], [0, 0, 200, 200, 0, 0, 9, 9]])
    scores = torch.full((2, 3), 0.3)
    found, kept = _of_sizes(boxes, scores, ('s', 'm'))
    assert torch.equal(found, boxes)
    assert torch.equal(kept > 0, torch.tensor([[True, True, True], [False, True, True]]))


def test_nothing_found(detector, images):
    (found,) = merged(detector, view(images[:1], 1), score_thr=1.0)
    assert len(found) == 0
    assert found.masks.shape == (0, 96, 128)


def test_views_of_the_configs():
    """Sizes before flips, as many as there are ranges; those of AugReg are shorter."""
    for path in sorted((CONFIGS / 'vit_adapter').glob('*_htc_*.py')):
        cfg = Config.fromfile(path)
        sizes, flips = cfg.tta_pipeline[1].transforms[:2]
        longest = 1600 if 'augreg' in path.name else 3000
        assert [step.scale for step in sizes] == [(longest, short) for short in range(600, 1601, 200)]
        assert [step.prob for step in flips] == [0.0, 1.0]
        assert len(cfg.tta_model.tta_cfg.scale_ranges) == len(sizes)


def test_what_cannot_be(detector, images):
    class Other(nn.Identity):
        test_step = None

    with pytest.raises(TypeError, match='views of a HybridTaskCascade, got a Other'):
        HTCTTAModel(Other(), {})
    with pytest.raises(ValueError, match="must hold lists of \\('s', 'm', 'l'\\), got"):
        HTCTTAModel(detector, {'scale_ranges': [['xl']]})
    with pytest.raises(ValueError, match='makes 1 views and scale_ranges has 2 entries'):
        merged(detector, view(images, 1), scale_ranges=[['s'], ['l']])
