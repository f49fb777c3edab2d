"""Masks of Co-DETR's instance models against what the released code computed: forwards, losses, gradients."""

import numpy as np
import pytest
import torch

# Before mmdet, which else finds no RoIAlign for masks.
from mmvitdense.checkpoints.formats.parts.co_detr_names import rename_co_detr

pytest.importorskip('mmdet')

from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmvitdense.models.detection import CoMaskHead
from mmvitdense.models.detection.co_detr.refined_masks import refined
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

GOLDEN = read_golden('codetr_masks')
META = GOLDEN['meta']
ASSIGNER = {
    'type': 'mmdet.MaxIoUAssigner',
    'pos_iou_thr': 0.5,
    'neg_iou_thr': 0.5,
    'min_pos_iou': 0.5,
    # By its scope: another test may have left that of mmseg.
    'iou_calculator': {'type': 'mmdet.BboxOverlaps2D'},
}
SAMPLER = {'type': 'mmdet.RandomSampler', 'num': 4, 'pos_fraction': 1.0, 'add_gt_as_proposals': False}


@pytest.fixture(scope='module')
def branch():
    """On one map of stride 4, as that of the file."""
    branch = CoMaskHead(
        META['classes'],
        META['channels'],
        strides=[4],
        size=META['size'],
        fc_channels=META['fc'],
        mask_weight=META['mask_weight'],
        iou_weight=META['iou_weight'],
        train_cfg={'assigner': ASSIGNER, 'sampler': SAMPLER, 'mask_thr_binary': 0.5},
        test_cfg={'mask_thr_binary': 0.5},
    )
    branch.load_state_dict(named(GOLDEN['sd']))
    return branch


def named(weights):
    renamed = rename_co_detr(weights)
    return {name.removeprefix('mask_head.'): value for name, value in renamed.items()}


def given(branch, monkeypatch):
    """The inputs of the file, whose features of boxes are those of no map; two images with two objects each."""
    features, image = (GOLDEN['in'][name].clone().requires_grad_() for name in ('features', 'image'))
    rois, labels, masks = (GOLDEN['in'][name] for name in ('rois', 'labels', 'masks'))
    monkeypatch.setattr(branch.extractor, 'forward', lambda maps, rois: features)
    true = []
    for index in range(2):
        some = slice(2 * index, 2 * index + 2)
        own = BitmapMasks(list(masks[some].numpy().astype(np.uint8)), *masks.shape[1:])
        true.append(InstanceData(bboxes=rois[some, 1:], labels=labels[some], masks=own))
    return features, image, rois, labels, true


def test_masks_and_overlaps(branch, monkeypatch):
    _, image, rois, labels, _ = given(branch, monkeypatch)
    with torch.no_grad():
        features, logits = branch._masks([image], rois, labels)
        for number, found in enumerate(logits):
            assert_within(found, GOLDEN['out'][f'logits{number}'], OUTPUTS, f'masks of size {number}')
        assert_within(refined(logits), GOLDEN['out']['refined'], OUTPUTS, 'refined')
        assert_within(branch.overlap(features, logits[1][:, 0]), GOLDEN['out']['overlaps'], OUTPUTS, 'overlaps')


def test_losses_and_gradients(branch, monkeypatch):
    """Of boxes that are the true ones, so that all are sampled."""
    features, image, _, _, true = given(branch, monkeypatch)
    predicted = [InstanceData(bboxes=t.bboxes, labels=t.labels, scores=torch.ones(2)) for t in true]
    branch.zero_grad()
    losses = branch.loss([image], predicted, true, [None, None])
    assert losses.keys() == META['losses'].keys()
    for name, loss in META['losses'].items():
        assert losses[name].item() == pytest.approx(loss, rel=1e-5), name
    sum(losses.values()).backward()
    expected = named(GOLDEN['grad'])
    assert expected.keys() == dict(branch.named_parameters()).keys()
    found = {name: parameter.grad for name, parameter in branch.named_parameters()}
    single = [name for name, gradient in found.items() if gradient.numel() == 1]
    assert_within(*(torch.stack([of[n].flatten() for n in single]) for of in (found, expected)), GRADIENTS, 'biases')
    for name in found.keys() - set(single):
        assert_within(found[name], expected[name], GRADIENTS, f'gradient of {name}')
    for name, tensor in (('features', features), ('image', image)):
        assert_within(tensor.grad, GOLDEN['grad_in'][name], GRADIENTS, f'gradient of {name}')


def test_results(branch, monkeypatch):
    features, image, rois, labels, _ = given(branch, monkeypatch)
    factors = torch.tensor(META['scale_factor']).repeat(2)
    monkeypatch.setattr(branch.extractor, 'forward', lambda maps, rois: features[:2])
    result = InstanceData(bboxes=rois[:2, 1:] / factors, labels=labels[:2], scores=torch.tensor([0.9, 0.5]))
    nothing = InstanceData(bboxes=torch.zeros(0, 4), labels=labels[:0], scores=torch.zeros(0))
    meta = {'ori_shape': tuple(META['ori_shape']), 'scale_factor': tuple(META['scale_factor'])}
    with torch.no_grad():
        branch.predict([image], [result, nothing], [meta, meta], rescale=True)
    assert torch.equal(result.masks, GOLDEN['out']['pasted'])
    overlaps = GOLDEN['out']['overlaps'][[0, 1], labels[:2]]
    torch.testing.assert_close(result.mask_scores, overlaps * torch.tensor([0.9, 0.5]))
    assert nothing.masks.shape == (0, *META['ori_shape'])
    assert len(nothing.mask_scores) == 0


def test_images_without_objects(branch):
    """The losses are zero, and all weights have gradients, as several processes need it."""
    empty = InstanceData(
        bboxes=torch.zeros(0, 4),
        labels=torch.zeros(0).long(),
        masks=BitmapMasks(np.zeros((0, 64, 96), np.uint8), 64, 96),
    )
    predicted = InstanceData(bboxes=GOLDEN['in']['rois'][:2, 1:], labels=torch.tensor([0, 1]), scores=torch.ones(2))
    branch.zero_grad()
    losses = branch.loss([GOLDEN['in']['image']], [predicted], [empty], [None])
    sum(losses.values()).backward()
    assert not any(loss.any() for loss in losses.values())
    assert all(parameter.grad is not None for parameter in branch.parameters())
    with pytest.raises(ValueError, match='set with_mask=True'):
        branch.loss([GOLDEN['in']['image']], [predicted], [InstanceData(bboxes=empty.bboxes)], [None])


def test_initial_weights():
    """On the meta device, whose memory comes later, what one seed draws in a usual construction."""
    torch.manual_seed(0)
    usual = CoMaskHead(5, 32, size=4, fc_channels=64)
    with torch.device('meta'):
        later = CoMaskHead(5, 32, size=4, fc_channels=64)
    later.to_empty(device='cpu')
    torch.manual_seed(0)
    later.init_weights()
    for (name, one), two in zip(usual.named_parameters(), later.parameters()):
        assert torch.equal(one, two), name
    for layer, std in (
        (usual.masks.stages[0].branches[1], (2 / (9 * 32)) ** 0.5),
        (usual.overlap.fcs[0], (1 / (32 * 2 * 2)) ** 0.5),
        (usual.overlap.fc_mask_iou, 0.01),
    ):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ('wrong', 'text'), [({'in_channels': 24}, 'multiple of 16'), ({'stage_weights': (1.0,)}, 'four sizes of masks')]
)
def test_wrong_options(wrong, text):
    with pytest.raises(ValueError, match=text):
        CoMaskHead(**{'num_classes': 2, 'in_channels': 16, **wrong})
