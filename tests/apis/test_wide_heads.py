"""Boxes of a model that computes in 16 bits."""

import copy

import pytest
import torch

from mmvitdense.apis.wide_heads import computes_in_16_bits, give_float32

pytest.importorskip('mmdet')
from mmdet.models import DINOHead, RPNHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict


def _head():
    return RPNHead(
        in_channels=8,
        feat_channels=8,
        anchor_generator={'type': 'mmdet.AnchorGenerator', 'scales': [1], 'ratios': [1.0], 'strides': [5]},
        bbox_coder={'type': 'mmdet.DeltaXYWHBBoxCoder'},
        loss_cls={'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True},
        loss_bbox={'type': 'mmdet.SmoothL1Loss'},
        test_cfg=ConfigDict(nms_pre=600, max_per_img=600, nms={'type': 'nms', 'iou_threshold': 1.0}, min_bbox_size=0),
    ).eval()


def _boxes(head, maps):
    sample = DetDataSample(metainfo={'img_shape': (10, 1000), 'scale_factor': (1.0, 1.0), 'ori_shape': (10, 1000)})
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        (found,) = head.predict(maps, [sample])
    # They come by their scores, which are those of 16 bits.
    centres = (found.bboxes.float()[:, 0::2].sum(1) + found.bboxes.float()[:, 1::2].sum(1) * 1e-3).sort()
    return centres.values


def test_boxes_far_from_the_corner_stand_where_their_anchors_do():
    head, maps = _head(), [torch.randn(1, 8, 2, 200)]
    with torch.no_grad():
        for parameter in head.rpn_reg.parameters():
            parameter.zero_()
    wide = copy.deepcopy(head)
    give_float32(wide)
    give_float32(wide)
    anchors = head.prior_generator.grid_priors([(2, 200)], device='cpu')[0].clamp(min=0)
    anchors[:, 0::2].clamp_(max=1000), anchors[:, 1::2].clamp_(max=10)
    wanted = (anchors[:, 0::2].sum(1) + anchors[:, 1::2].sum(1) * 1e-3).sort().values
    assert isinstance(wide, RPNHead)
    assert (_boxes(wide, maps) - wanted).abs().max() < 1e-3
    assert (_boxes(head, maps) - wanted).abs().max() > 1


def test_boxes_of_queries_stand_where_their_references_do():
    losses = {'loss_cls': {'type': 'mmdet.FocalLoss', 'use_sigmoid': True}, 'train_cfg': None}
    losses.update(loss_bbox={'type': 'mmdet.L1Loss'}, loss_iou={'type': 'mmdet.GIoULoss'})
    head = DINOHead(num_classes=2, embed_dims=8, num_pred_layer=1, **losses)
    for parameter in head.reg_branches.parameters():
        parameter.data.zero_()
    wide = copy.deepcopy(head)
    give_float32(wide)
    give_float32(wide)
    references = torch.rand(1, 50, 4) * 0.4 + 0.5
    found = {}
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        for name, each in (('narrow', head), ('wide', wide)):
            scores, found[name] = each(torch.randn(1, 1, 50, 8), [references])
    assert scores.dtype == torch.float32
    assert (found['wide'][0] - references).abs().max() < 1e-5
    assert (found['narrow'][0] - references).abs().max() > 1e-3


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        ({'optim_wrapper': {'type': 'mmvitdense.CpuAmpOptimWrapper'}}, True),
        ({'optim_wrapper': {'type': 'AmpOptimWrapper'}, 'val_cfg': None}, True),
        ({'optim_wrapper': {'type': 'OptimWrapper'}, 'test_cfg': {'fp16': True}}, True),
        ({'optim_wrapper': None, 'test_cfg': {}}, False),
    ],
)
def test_runs_in_16_bits(cfg, expected):
    assert computes_in_16_bits(cfg) is expected
