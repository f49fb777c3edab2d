"""Plain-DETR of DINOv3 against what the released code computed: the map of windows, predictions, losses, gradients."""

import re

import pytest
import torch

pytest.importorskip('mmdet')

from mmvitdense.checkpoints import detect
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden
from tests.fidelity.plain_detr import detector, images, samples

GOLDEN = read_golden('plain_detr')
FORM = detect(GOLDEN['sd'])
LOSSES = 2e-5
NAMES = {'ce': 'cls', 'bbox': 'bbox', 'giou': 'iou'}


@pytest.fixture(scope='module')
def model():
    model = detector()
    model.load_state_dict(FORM.convert(GOLDEN['sd']))
    return model


def own_name(name):
    """Of a loss of the released code."""
    kind, layer, many = re.fullmatch(r'loss_(ce|bbox|giou)(?:_(\d+|enc))?(_one2many)?', name).groups()
    prefix = {None: '', 'enc': 'enc_'}.get(layer, f'd{layer}.')
    return f'{prefix}loss_{NAMES[kind]}{many or ""}'


def test_losses_and_gradients(model):
    model.train().zero_grad()
    losses = model.loss(images(GOLDEN), samples(GOLDEN))
    expected = {own_name(name): loss for name, loss in GOLDEN['meta']['losses'].items()}
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss, rel=LOSSES), name
    total = sum(losses.values())
    assert total.item() == pytest.approx(GOLDEN['meta']['total'], rel=LOSSES)
    total.backward()
    expected = FORM.convert(GOLDEN['grad'])
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert found.keys() == expected.keys()
    assert not any(name.startswith('backbone.') for name in found)
    for name, gradient in found.items():
        # Biases of keys, and of a convolution before a norm of one channel for each group, change nothing.
        if name.endswith('cross_attn.k.bias') or name == 'neck.convs.0.conv.bias':
            assert gradient.abs().max() < 1e-4, name
        else:
            assert_within(gradient, expected[name], GRADIENTS, f'gradient of {name}')


def test_maps_and_predictions_of_all_layers(model):
    """With the queries of training, before and after the encoder and the decoder."""
    model.train()
    expected = {name.removeprefix('train/'): x for name, x in GOLDEN['out'].items()}
    with torch.no_grad():
        maps = model.extract_feat(images(GOLDEN))
        assert_within(model.backbone(images(GOLDEN))[0], GOLDEN['mid']['map'], OUTPUTS, 'map of windows')
        given, _ = model.pre_transformer(maps, samples(GOLDEN))
        assert_within(model.forward_encoder(**given)['memory'], GOLDEN['mid']['memory'], OUTPUTS, 'memory')
        decoded = model.forward_transformer(maps, samples(GOLDEN))
        proposals, count = decoded.pop('proposals'), decoded.pop('num_one2one')
        layers = model.bbox_head(**decoded)
    assert_within(proposals.scores, expected['enc_scores'], OUTPUTS, 'logits of proposals')
    assert_within(proposals.boxes, expected['enc_boxes'], OUTPUTS, 'boxes of proposals')
    for layer, scores, boxes in zip(layers, expected['scores'], expected['boxes']):
        one2one, one2many = layer.split(count)
        assert_within(one2one.scores, scores, OUTPUTS, 'logits')
        assert_within(one2one.boxes, boxes, OUTPUTS, 'boxes')
    assert_within(one2many.scores, expected['scores_many'], OUTPUTS, 'logits of the other queries')
    assert_within(one2many.boxes, expected['boxes_many'], OUTPUTS, 'boxes of the other queries')


def test_predictions(model):
    """The best pairs of box and class, in pixels of the original images."""
    model.eval()
    with torch.no_grad():
        found = model.predict(images(GOLDEN), samples(GOLDEN))
    for index, sample in enumerate(found):
        expected, objects = GOLDEN['out'][f'eval/results{index}'], sample.pred_instances
        assert objects.labels.tolist() == expected[:, 5].tolist()
        assert_within(objects.bboxes, expected[:, :4], OUTPUTS, 'boxes')
        assert_within(objects.scores, expected[:, 4], OUTPUTS, 'scores')
