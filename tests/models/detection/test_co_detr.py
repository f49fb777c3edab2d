"""CoDETR: what no recorded output shows. The released code's numbers are in `tests/fidelity/test_co_detr.py`."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import mmvitdense  # noqa: F401  (before mmdet, which takes over functions of mmcv)

pytest.importorskip('mmdet')

from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, DefaultScope
from mmengine.structures import InstanceData

from mmvitdense.models.detection.co_detr.positives import Candidates, positive_queries
from tests.fidelity.agreement import redraw
from tests.fidelity.co_detr import detector, maps, samples
from tests.fidelity.golden import read_golden

CONFIGS = Path(__file__).parents[3] / 'configs/co_detr'
GOLDEN = read_golden('codetr_heads')
SIZES = [(96, 96), (72, 88)]


def candidates(*positives, total=40):
    """Per image as many positives, and background for the rest."""
    boxes = [torch.rand(total, 2).repeat(1, 2) * 40 + torch.tensor([0.0, 0, 20, 30]) for _ in positives]
    labels = [torch.tensor([1] * count + [5] * (total - count)) for count in positives]
    return Candidates(boxes, labels, [of_image + 1 for of_image in boxes])


class TestPositiveQueries:
    @pytest.mark.parametrize(('positives', 'count'), [((3, 1), 9), ((0, 0), 9), ((20, 9), 20), ((39, 33), 30)])
    def test_how_many(self, positives, count):
        queries = positive_queries(candidates(*positives), SIZES, 5, most=30)
        assert queries.boxes.shape == queries.targets.shape == (2, count, 4)
        found = [min(number, count) for number in positives]
        assert (queries.labels == 1).sum(1).tolist() == found
        assert queries.box_weights.sum((1, 2)).tolist() == [4 * number for number in found]
        assert queries.label_weights.all()

    def test_boxes_of_the_same_image(self):
        given = candidates(3, 12)
        queries = positive_queries(given, SIZES, 5)
        for index, (height, width) in enumerate(SIZES):
            all_boxes = bbox_xyxy_to_cxcywh(given.boxes[index] / torch.tensor([width, height, width, height]))
            distance = torch.cdist(queries.boxes[index], all_boxes).min(dim=1)
            assert (distance.values < 1e-3).all()
            assert len(set(distance.indices.tolist())) == 12, 'none twice'
            difference = queries.targets[index, :, :2] - queries.boxes[index, :, :2]
            torch.testing.assert_close(
                difference, torch.tensor([1 / width, 1 / height]).expand(12, 2), atol=1e-6, rtol=0
            )

    @pytest.mark.parametrize('zero_padding', [False, True])
    def test_too_few_negatives_are_filled_with_what_counts_nowhere(self, zero_padding):
        queries = positive_queries(candidates(3, 5, total=6), SIZES, 5, zero_padding=zero_padding)
        real = [3, 5] if zero_padding else [6, 6]
        assert queries.label_weights.sum(1).tolist() == real
        assert (queries.labels[:, 6:] == 5).all()
        assert not queries.boxes[:, 6:].any()


@pytest.fixture(scope='module')
def model():
    return redraw(detector()).train()


# Of three maps of stride 8, 16 and 32.
MASKS = {
    'mask_head': {
        'type': 'mmvitdense.CoMaskHead',
        'num_classes': 5,
        'in_channels': 32,
        'strides': [8, 16, 32],
        'finest_scale': 24,
        'size': 4,
        'fc_channels': 8,
    },
    'train_cfg': {
        'mask': {
            'assigner': {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.5, 'neg_iou_thr': 0.5, 'min_pos_iou': 0.5},
            'sampler': {'type': 'RandomSampler', 'num': 16, 'pos_fraction': 0.25, 'add_gt_as_proposals': True},
            'mask_thr_binary': 0.5,
        }
    },
    'test_cfg': {'mask': {'mask_thr_binary': 0.5}},
}


def losses_of(model, boxes=None, images=(0, 1), masks=False, **changes):
    given = samples(GOLDEN)
    for sample, of_image in zip(given, boxes or []):
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(of_image).reshape(-1, 4), labels=torch.arange(len(of_image))
        )
    for sample in given if masks else ():
        drawn = np.zeros((len(sample.gt_instances), 96, 96), np.uint8)
        drawn[:, 10:44, 6:40] = 1
        sample.gt_instances.masks = BitmapMasks(drawn, 96, 96)
    model.backbone.maps = tuple(level[list(images)] for level in maps(GOLDEN))
    before = {name: getattr(model, name) for name in changes}
    for name, value in changes.items():
        setattr(model, name, value)
    torch.manual_seed(1)
    losses = model.loss(torch.zeros(len(images), 3, 96, 96), [given[index] for index in images])
    for name, value in before.items():
        setattr(model, name, value)
    return {name: sum(loss) if isinstance(loss, list) else loss for name, loss in losses.items()}


class TestLosses:
    @pytest.mark.parametrize('boxes', [([], []), ([[8.0, 8.0, 40.0, 50.0]], []), ([[80.0, 90.0, 81.0, 91.0]], [])])
    def test_few_objects_or_none(self, model, boxes):
        """Finite, and a gradient for every parameter, which distributed training asks for."""
        model.zero_grad()
        losses = losses_of(model, boxes)
        assert all(loss.isfinite().all() for loss in losses.values())
        sum(loss for name, loss in losses.items() if 'loss' in name).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    @pytest.mark.parametrize('boxes', [([], []), ([[8.0, 8.0, 40.0, 50.0]], []), None])
    def test_masks(self, boxes):
        """Two losses more, with gradients for every parameter; those of the others are as without."""
        model = redraw(detector(**MASKS)).train()
        losses = losses_of(model, boxes, masks=True)
        assert losses['loss_mask'].any() == (boxes != ([], []))
        assert losses['loss_mask_iou'].isfinite()
        sum(loss for name, loss in losses.items() if 'loss' in name).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        bare = detector().train()
        assert not bare.load_state_dict(model.state_dict(), strict=False).missing_keys
        without = losses_of(bare, boxes)
        assert without.keys() == losses.keys() - {'loss_mask', 'loss_mask_iou'}
        for name in ('loss_cls', 'loss_bbox', 'd0.loss_iou', 'enc_loss_cls'):
            torch.testing.assert_close(without[name], losses[name])

    def test_weight_of_the_passes_over_positives(self, model):
        """It acts on their losses alone."""
        once, twice = losses_of(model), losses_of(model, aux_loss_weight=1.4)
        for name, loss in once.items():
            torch.testing.assert_close(twice[name], loss * (2 if '_aux' in name else 1), msg=name)

    def test_losses_by_name(self, model):
        """Six of the encoder and a layer, for each of two layers; three of the heads' passes as often."""
        found = losses_of(model)
        assert len(found) == 3 + 2 * 3 + 2 * 3 + 2 + 3 + 3 + 2 * 2 * 3
        without = losses_of(redraw(detector(with_pos_coord=False)).train())
        assert without.keys() == {name for name in found if '_aux' not in name}

    def test_recomputed_layers_give_the_same(self, model):
        options = {'num_layers': 2, 'num_cp': 2, 'layer_cfg': model.encoder.layer_cfg}
        other = detector(encoder=options).train()
        other.load_state_dict(model.state_dict())
        totals = []
        for each in (model, other):
            each.zero_grad()
            totals.append(sum(loss for name, loss in losses_of(each).items() if 'loss' in name))
            totals[-1].backward()
        torch.testing.assert_close(*totals)
        for (name, one), two in zip(model.named_parameters(), other.parameters()):
            torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-5, msg=name)


class TestPredictions:
    def predict(self, model, images=(0, 1)):
        model.eval().backbone.maps = tuple(level[list(images)] for level in maps(GOLDEN))
        with torch.no_grad():
            given = samples(GOLDEN)
            return model.predict(torch.zeros(len(images), 3, 96, 96), [given[index] for index in images])

    def test_without_auxiliary_heads(self):
        model = redraw(detector())
        bare = detector(rpn_head=None, roi_head=None, dense_head=None)
        left = bare.load_state_dict(model.state_dict(), strict=False)
        assert not left.missing_keys
        kinds = {name.split('.')[0] for name in left.unexpected_keys}
        assert kinds == {'rpn_head', 'roi_head', 'dense_head', 'downsample', 'aux_pos_trans', 'aux_pos_trans_norm'}
        for one, two in zip(self.predict(model), self.predict(bare)):
            assert torch.equal(one.pred_instances.bboxes, two.pred_instances.bboxes)
        assert len(losses_of(bare.train())) == 15, 'DINO'

    def test_masks_of_the_boxes(self):
        """The boxes, and the scores that they are ordered by, are those without masks."""
        model = redraw(detector(**MASKS))
        for logits in model.mask_head.masks.logits:
            torch.nn.init.constant_(logits.bias, 20.0)
        bare = detector()
        bare.load_state_dict(model.state_dict(), strict=False)
        for one, two in zip(self.predict(model), self.predict(bare)):
            found = one.pred_instances
            assert torch.equal(found.bboxes, two.pred_instances.bboxes)
            assert torch.equal(found.scores, two.pred_instances.scores)
            assert found.masks.shape == (len(found), *one.ori_shape)
            for mask, box in zip(found.masks, found.bboxes.round().long().tolist()):
                inside = torch.zeros_like(mask)
                inside[box[1] : box[3], box[0] : box[2]] = True
                assert (mask == inside).float().mean() > 0.97, 'all of the box'
            assert (found.mask_scores < found.scores).all()

    def test_an_image_alone_and_in_a_batch(self):
        model = redraw(detector())
        for index, together in enumerate(self.predict(model)):
            (alone,) = self.predict(model, [index])
            torch.testing.assert_close(
                alone.pred_instances.scores, together.pred_instances.scores, rtol=1e-4, atol=1e-6
            )

    def test_as_many_as_asked_without_suppression(self):
        model = redraw(detector())
        model.bbox_head.test_cfg.pop('nms')
        assert [len(sample.pred_instances) for sample in self.predict(model)] == [15, 15]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'rpn_head': None}, 'got no rpn_head; expected rpn_head and roi_head together'),
        ({'eval_module': 'roi'}, "eval_module got 'roi', expected one of 'detr', 'two-stage', 'one-stage'"),
        ({'eval_module': 'one-stage', 'dense_head': None}, 'predicts by dense_head; expected one, got None'),
        ({'eval_module': 'one-stage', **MASKS}, "eval_module='one-stage' has no masks: leave mask_head out"),
        ({'encoder': {'num_layers': 2, 'num_cp': 3}}, 'num_cp of the encoder got 3 and it has 2 layers'),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(ValueError, match=message):
        detector(**changes)


def test_fewer_places_than_queries():
    model = detector(num_queries=400).eval()
    model.backbone.maps = maps(GOLDEN)
    with pytest.raises(ValueError, match=r'DINO chooses 400 queries and the maps of these images have 189 places'):
        model.predict(torch.zeros(2, 3, 96, 96), samples(GOLDEN))


def build(name, **changes):
    """The model of a config with no values in it."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.model.backbone.pop('init_cfg', None)
    for part, options in changes.items():
        config.model[part] = ConfigDict(options)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(config.model)


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def to_predict(model):
    unused = (model.rpn_head, model.roi_head, model.dense_head, model.downsample, model.aux_pos_trans)
    return count(model) - count(*unused, model.aux_pos_trans_norm, model.dn_query_generator)


def test_parameters_of_the_released_models():
    """ViT-L on COCO; all with ResNet-50; the pyramid on ViT-CoMer."""
    vit = build('vit-l-eva02_co-dino_12e_coco')
    # Keys have a bias here, which stays zero.
    keys = 24 * 1024
    assert (count(vit) - keys, to_predict(vit) - keys) == (365_367_657, 347_220_108)
    assert (count(vit.backbone) - keys, count(vit.neck)) == (304_238_528, 23_995_904)
    parts = ('rpn_head', 'roi_head', 'dense_head')
    assert [count(getattr(vit, part)) for part in parts] == [601_645, 15_294_549, 1_376_603]
    norm = {'type': 'GN', 'num_groups': 32}
    resnet = build(
        'vitdet-b-mae_co-dino_lsj-50e_coco',
        backbone={'type': 'ResNet', 'depth': 50, 'num_stages': 4, 'out_indices': (0, 1, 2, 3)},
        neck={
            'type': 'ChannelMapper',
            'in_channels': [256, 512, 1024, 2048],
            'kernel_size': 1,
            'out_channels': 256,
            'act_cfg': None,
            'norm_cfg': norm,
            'num_outs': 5,
        },
    )
    assert (count(resnet), to_predict(resnet)) == (65_204_005, 48_044_300)
    assert count(build('vit-comer-l-beitv2_co-dino_16e_coco').neck) == 25_044_480


def test_averaged_weights_as_published():
    """The average follows at (1 - m) exp(-(1 + t) / 2000) + m of the difference (`mmdet/core/hook/ema.py`), buffers
    too."""
    config = Config.fromfile(CONFIGS / 'vit-l-eva02_co-dino_12e_coco.py')
    model = torch.nn.BatchNorm1d(1)
    with DefaultScope.overwrite_default_scope('mmdet'):
        options = dict(config.custom_hooks[0])
        assert options.pop('priority') < 50, 'before checkpoints are written'
        hook = HOOKS.build(options)
        hook.before_run(SimpleNamespace(model=model))
    average = hook.ema_model
    average.update_parameters(model)
    average.steps.fill_(1999)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(1.0)
    average.update_parameters(model)
    part = (1 - 1e-4) * math.exp(-1) + 1e-4
    assert average.module.weight.item() == pytest.approx(1 + part, rel=1e-5)
    assert average.module.running_mean.item() == pytest.approx(part, rel=1e-5)
