"""Operations and parameters of models, against what their authors publish and against sums by hand."""

import functools
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmvitdense import commands, ops
from mmvitdense.apis import flops
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.flops import formulas, model_cost
from mmvitdense.layers.positions.decomposed import attention_with_relative_position

VITDET = 'mmvitdense::vitdet/vitdet-{}.py'


@pytest.mark.parametrize(
    ('config', 'tera', 'millions'),
    [('b-mae_mask-rcnn_lsj-100e_coco', 0.8, 111), ('b-mae_cascade-mask-rcnn_lsj-100e_coco', 1.1, 141)],
)
def test_vitdet_has_the_numbers_of_its_paper(config, tera, millions):
    """Table 5 of arXiv 2203.16527, which counts multiply-adds."""
    pytest.importorskip('mmdet')
    cost = model_cost(VITDET.format(config))
    assert cost.size == (1024, 1024)
    assert round(cost.total.flops / 2e12, 1) == tera
    assert round(cost.total.parameters / 1e6) == millions == round(cost.total.trainable / 1e6)
    assert [row.name for row in cost.parts] == [
        *('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head', 'roi_head.mask_head')
    ]


def test_a_segmentor_by_the_command(capsys):
    """The UPerNet of ViT-CoMer-S has 61.4 M parameters, as published; its backbone 83 G multiply-adds, by hand."""
    pytest.importorskip('mmseg')
    config = 'mmvitdense::vit_comer/vit-comer-s-deit_upernet_160k_ade20k-512.py'
    assert commands.main(['flops', config, '--json', '--cfg-options', 'model.backbone.vit.frozen_stages=all']) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row['name']: row for row in found['parts']}
    assert found['size'] == [512, 512]
    assert found['total']['parameters'] == pytest.approx(61.4e6, rel=1e-3)
    assert rows['backbone']['flops'] / 2e9 == pytest.approx(83, rel=0.02)
    assert rows['auxiliary_head']['flops'] == 0 < rows['auxiliary_head']['parameters']
    assert 20e6 < found['total']['parameters'] - found['total']['trainable'] < 23e6, 'the ViT-S is frozen'
    assert sum(row['flops'] for row in rows.values()) == found['total']['flops']


def test_samples_of_deformable_attention_are_four_multiply_adds_a_channel():
    shapes, queries, heads, points, channels = [(8, 8), (4, 4)], 5, 2, 4, 3
    value = torch.rand(1, 80, heads, channels)
    samples = torch.rand(1, queries, heads, 2, points, 2)
    weights = torch.rand(1, queries, heads, 2, points)
    for device in ('meta', 'cpu'):
        with FlopCounterMode(display=False, custom_mapping=formulas()) as counter, torch.no_grad():
            ops.ms_deform_attn(value.to(device), shapes, samples.to(device), weights.to(device))
        assert counter.get_total_flops() == 8 * queries * heads * 2 * points * channels


def test_attention_is_counted_without_the_wider_queries_of_its_fast_form():
    tokens, dims, side = 36, 8, 6
    query = torch.empty(1, 1, tokens, dims, device='meta')
    table = torch.empty(2 * side - 1, dims, device='meta')
    with FlopCounterMode(display=False) as counter:
        attention_with_relative_position(query, query, query, table, table, (side, side))
    assert counter.get_total_flops() == 2 * (2 * tokens**2 * dims + 2 * tokens * side * dims)


@pytest.mark.parametrize('size', [(0, 32), (-1, 5)])
def test_a_size_that_is_none(size):
    pytest.importorskip('mmseg')
    with pytest.raises(InputError, match='two numbers above 0'):
        model_cost('mmvitdense::quickstart/vit-tiny_upernet_shapes.py', size)


def test_eomt_has_the_number_of_its_paper():
    """Table 1 of arXiv 2503.19108, which counts multiply-adds."""
    pytest.importorskip('mmdet')
    cost = model_cost('mmvitdense::eomt/eomt-l-dinov2_panoptic_12e_coco-640.py')
    assert cost.total.flops / 2e9 == pytest.approx(669, abs=2)
    assert round(cost.total.parameters / 1e6) in (316, 317)


@pytest.mark.parametrize('name', ['vitdet/vitdet-tiny_dino', 'vitdet/vitdet-tiny_mask2former-instance'])
def test_heads_that_read_sizes_are_counted_without_numbers_as_with_them(name, monkeypatch):
    pytest.importorskip('mmdet')
    counted, devices = flops._Count._counted, []

    def watched(self, function, model, given, refused=None):
        devices.append(next(model.parameters()).device.type)
        if devices[-1] == refused:
            raise RuntimeError
        return counted(self, function, model, given)

    costs = []
    for refused in (None, 'meta'):
        monkeypatch.setattr(flops._Count, '_counted', functools.partialmethod(watched, refused=refused))
        costs.append(model_cost(f'mmvitdense::{name}_shapes.py', (96, 128)).parts)
    assert devices == ['meta', 'meta', 'meta', 'cpu', 'meta', 'cpu']
    assert costs[0] == costs[1]
