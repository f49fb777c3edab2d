"""Heads of ViTDet: mmdet's with the converted weights of detectron2 against the method computed step by step."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from mmvitdense.checkpoints.formats.parts.detectron2_heads import rename_heads
from tests.fidelity import detectron2_oracle as oracle
from tests.fidelity.agreement import GRADIENTS, assert_within

pytest.importorskip('mmdet')

from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks

CONFIGS = Path(__file__).parents[2] / 'configs' / 'vitdet'
WIDTH, HIDDEN, CLASSES = 6, 12, 3
SIZE = (512, 640)  # of the maps' image; the second image is smaller and padded
BOX_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
IOUS = (0.5, 0.6, 0.7)


@pytest.fixture
def _double_precision():
    """Rounding would move boxes across the steps in which RoIAlign chooses its samples."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def draw_weights(cascade, width=WIDTH, num_classes=CLASSES):
    """Random weights under detectron2's names."""
    generator = torch.Generator().manual_seed(0)
    weights = {}

    def layer(name, *shape, std=0.2, bias=None):
        weights[f'{name}.weight'] = std * torch.randn(shape, generator=generator)
        weights[f'{name}.bias'] = 0.1 * torch.randn(bias or shape[0], generator=generator)

    def normed(name, inner):
        weights[f'{name}.weight'] = 0.2 * torch.randn(width, inner, 3, 3, generator=generator)
        weights[f'{name}.norm.weight'] = 1 + 0.2 * torch.randn(width, generator=generator)
        weights[f'{name}.norm.bias'] = 0.2 * torch.randn(width, generator=generator)

    rpn = 'proposal_generator.rpn_head'
    for i in range(2):
        layer(f'{rpn}.conv.conv{i}', width, width, 3, 3)
    layer(f'{rpn}.objectness_logits', 3, width, 1, 1)
    layer(f'{rpn}.anchor_deltas', 12, width, 1, 1)
    for stage in ('0.', '1.', '2.') if cascade else ('',):
        for i in range(1, 5):
            normed(f'roi_heads.box_head.{stage}conv{i}', width)
        layer(f'roi_heads.box_head.{stage}fc1', HIDDEN, 49 * width, std=0.1)
        layer(f'roi_heads.box_predictor.{stage}cls_score', num_classes + 1, HIDDEN, std=0.5)
        layer(f'roi_heads.box_predictor.{stage}bbox_pred', 4 if cascade else 4 * num_classes, HIDDEN)
    for i in range(1, 5):
        normed(f'roi_heads.mask_head.mask_fcn{i}', width)
    layer('roi_heads.mask_head.deconv', width, width, 2, 2)
    layer('roi_heads.mask_head.predictor', num_classes, width, 1, 1, std=1.0)
    return weights


def draw_images():
    """Two images whose proposals are objects shifted a little, and boxes that are none."""
    objects = (
        [[20.3, 30.6, 90.1, 110.4], [40.2, 28.3, 610.9, 501.7], [10.6, 150.1, 160.8, 300.3]],
        [[5.4, 5.9, 45.2, 60.7], [80.1, 70.8, 350.4, 330.2]],
    )  # one at least for each level of the maps
    images = []
    for size, boxes in zip((SIZE, (350, 420)), objects):
        boxes = torch.tensor(boxes)
        near = (boxes.repeat(8, 1) + 8 * torch.randn(8 * len(boxes), 4)).clamp(min=0, max=min(size))
        far = torch.tensor([[100.0, 5.0, 140.0, 35.0], [0.0, 90.0, 25.0, 140.0]])
        masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            rows, columns = torch.arange(y1, y2)[:, None], torch.arange(x1, x2)
            mask[y1:y2, x1:x2] = (rows - y1) / (y2 - y1) + (columns - x1) / (x2 - x1) < 1.2
        labels = torch.randint(0, CLASSES, (len(boxes),))
        images.append(oracle.Image(size, torch.cat([near, far]), boxes, labels, masks))
    # Beyond the border: nothing is left of it after the first stage.
    images[0].proposals = torch.cat([images[0].proposals, torch.tensor([[-90.0, -90.0, -30.0, -20.0]])])
    return images


def draw_maps(levels=4):
    return [torch.randn(2, WIDTH, SIZE[0] // 4 >> i, SIZE[1] // 4 >> i) for i in range(levels)]


def build_heads(cascade, weights):
    """The heads of the published configs, narrow, with converted weights."""
    kind = 'cascade-mask-rcnn' if cascade else 'mask-rcnn'
    model = Config.fromfile(CONFIGS / f'vitdet-b-mae_{kind}_lsj-100e_coco.py').model
    roi_head = model.roi_head
    for extractor in (roi_head.bbox_roi_extractor, roi_head.mask_roi_extractor):
        extractor.out_channels = WIDTH
    for head in (roi_head.bbox_head, roi_head.mask_head):
        head.update(in_channels=WIDTH, conv_out_channels=WIDTH, num_classes=CLASSES)
    roi_head.bbox_head.fc_out_channels = HIDDEN
    roi_head.update(train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn)
    rpn_head = model.rpn_head
    rpn_head.update(in_channels=WIDTH, feat_channels=WIDTH, train_cfg=model.train_cfg.rpn, test_cfg=model.test_cfg.rpn)
    # All anchors count, so that no random choice is left.
    rpn_head.train_cfg.sampler.update(num=10**6, pos_fraction=1.0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        heads = torch.nn.ModuleDict({'rpn_head': MODELS.build(rpn_head), 'roi_head': MODELS.build(roi_head)})
    heads.load_state_dict(rename_heads(weights))
    return heads


def samples(images):
    """The images as mmdet has them."""
    converted = []
    for image in images:
        meta = {'img_shape': image.size, 'ori_shape': image.size, 'scale_factor': (1.0, 1.0), 'pad_shape': SIZE}
        sample = DetDataSample(metainfo=meta)
        masks = BitmapMasks(image.masks.numpy().astype(np.uint8), *image.size)
        sample.gt_instances = InstanceData(bboxes=image.boxes, labels=image.labels, masks=masks)
        converted.append(sample)
    return converted


def proposals(images):
    return [InstanceData(bboxes=image.proposals) for image in images]


def leaves(tensors):
    return {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}


def compare_losses(ours, expected, heads, prefix, our_maps, weights, maps):
    """Values, then the gradients of weights and maps."""
    assert {name for name in ours if 'loss' in name} == set(expected)
    for name, wanted in expected.items():
        torch.testing.assert_close(
            ours[name].sum().to(wanted), wanted, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}'
        )
    sum(ours[name].sum() for name in expected).backward()
    sum(expected.values()).backward()
    for level, (got, wanted) in enumerate(zip(our_maps, maps)):
        assert_within(got.grad, wanted.grad, GRADIENTS, f'map {level}')
    wanted = rename_heads({name: weight.grad for name, weight in weights.items() if weight.grad is not None})
    got = {f'{prefix}.{name}': p.grad for name, p in heads[prefix].named_parameters() if p.grad is not None}
    assert got.keys() == wanted.keys()
    for name, grad in got.items():
        assert_within(grad, wanted[name], GRADIENTS, name)


class TestMaskRCNN:
    @pytest.mark.usefixtures('_double_precision')
    def test_losses(self):
        weights, images, maps = leaves(draw_weights(False)), draw_images(), draw_maps()
        heads = build_heads(False, weights)
        our_maps, maps = ([m.clone().requires_grad_() for m in maps] for _ in range(2))
        ours = heads['roi_head'].loss(our_maps, proposals(images), samples(images))
        boxes = [torch.cat([image.boxes, image.proposals]) for image in images]
        labels, index = zip(*(oracle.match(b, image, 0.5, CLASSES) for b, image in zip(boxes, images)))
        targets = [image.boxes[i] for image, i in zip(images, index)]
        logits, deltas = oracle.box_head(oracle.roi_features(maps, boxes, 7), weights)
        score_loss, box_loss = oracle.box_losses(logits, deltas, boxes, labels, targets, BOX_WEIGHTS[0])
        expected = {
            'loss_cls': score_loss,
            'loss_bbox': box_loss,
            'loss_mask': oracle.mask_loss(maps, weights, images, boxes, labels, index),
        }
        compare_losses(ours, expected, heads, 'roi_head', our_maps, weights, maps)

    def test_predictions(self):
        weights, images, maps = draw_weights(False), draw_images(), draw_maps()
        with torch.no_grad():
            results = build_heads(False, weights).eval()['roi_head'].predict(maps, proposals(images), samples(images))
            boxes = [image.proposals for image in images]
            logits, deltas = oracle.box_head(oracle.roi_features(maps, boxes, 7), weights)
            refined = [
                oracle.decode(torch.cat(boxes), deltas[:, 4 * k : 4 * k + 4], BOX_WEIGHTS[0]) for k in range(CLASSES)
            ]
            compare_detections(results, torch.stack(refined, 1), logits.softmax(1), images, maps, weights)


class TestCascade:
    def run(self, weights, maps, images, boxes, train):
        """Losses of all stages, or the boxes of the last and the mean probabilities."""
        losses, probabilities = {}, []
        for k in range(3):
            features = oracle.roi_features(maps, boxes, 7)
            features = features / 3 + (features * 2 / 3).detach()
            logits, deltas = oracle.box_head(features, weights, f'{k}.')
            probabilities.append(logits.softmax(1))
            if train:
                labels, index = zip(*(oracle.match(b, image, IOUS[k], CLASSES) for b, image in zip(boxes, images)))
                assert all((label < CLASSES).any() and (label == CLASSES).any() for label in labels)
                targets = [image.boxes[i] for image, i in zip(images, index)]
                values = oracle.box_losses(logits, deltas, boxes, labels, targets, BOX_WEIGHTS[k])
                losses |= dict(zip((f's{k}.loss_cls', f's{k}.loss_bbox'), values))
                if k == 0:
                    losses['loss_mask'] = oracle.mask_loss(maps, weights, images, boxes, labels, index)
            moved = oracle.decode(torch.cat(boxes), deltas.detach(), BOX_WEIGHTS[k]).split([len(b) for b in boxes])
            boxes = [oracle.clip(b, image.size) for b, image in zip(moved, images)]
            if train:
                kept = [(b[:, 2:] > b[:, :2]).all(1) for b in boxes]
                assert k > 0 or not kept[0].all()  # something is dropped
                boxes = [b[keep] for b, keep in zip(boxes, kept)]
        return losses if train else (torch.cat(boxes), sum(probabilities) / 3)

    @pytest.mark.usefixtures('_double_precision')
    def test_losses(self):
        weights, images, maps = leaves(draw_weights(True)), draw_images(), draw_maps()
        heads = build_heads(True, weights)
        our_maps, maps = ([m.clone().requires_grad_() for m in maps] for _ in range(2))
        ours = heads['roi_head'].loss(our_maps, proposals(images), samples(images))
        expected = self.run(weights, maps, images, [torch.cat([i.boxes, i.proposals]) for i in images], train=True)
        assert len(expected) == 7
        compare_losses(ours, expected, heads, 'roi_head', our_maps, weights, maps)

    def test_predictions(self):
        weights, images, maps = draw_weights(True), draw_images(), draw_maps()
        with torch.no_grad():
            results = build_heads(True, weights).eval()['roi_head'].predict(maps, proposals(images), samples(images))
            boxes, scores = self.run(weights, maps, images, [image.proposals for image in images], train=False)
            compare_detections(results, boxes, scores, images, maps, weights)


class TestRPN:
    @pytest.mark.usefixtures('_double_precision')
    def test_losses(self):
        weights = leaves(draw_weights(False))
        images, maps = draw_images(), draw_maps(5)
        # An anchor is near each object: which of several equal ones that are far is the best depends on rounding.
        images[1].boxes[0] = torch.tensor([5.4, 5.9, 41.2, 38.7])
        for image in images:
            image.labels.zero_()  # the one class of an RPN, as mmdet's detectors set it
        heads = build_heads(False, weights)
        our_maps, maps = ([m.clone().requires_grad_() for m in maps] for _ in range(2))
        ours = heads['rpn_head'].loss(our_maps, samples(images))
        ours = {name: sum(level.sum() for level in levels) for name, levels in ours.items()}
        logits, deltas = self.outputs(maps, weights)
        score_loss = box_loss = count = 0
        for image, logit, delta in zip(images, logits, deltas):
            table = oracle.iou(self.anchors(maps), image.boxes)
            best, index = table.max(1)
            assert table.max(0).values.min() > 0.7
            positive = best >= 0.7
            counted = positive | (best < 0.3)
            wanted = oracle.encode(self.anchors(maps)[positive], image.boxes[index[positive]], (1.0, 1.0, 1.0, 1.0))
            score_loss += F.binary_cross_entropy_with_logits(
                logit[counted], positive[counted].to(logit), reduction='sum'
            )
            box_loss += (delta[positive] - wanted).abs().sum()
            count += counted.sum()
        expected = {'loss_rpn_cls': score_loss / count, 'loss_rpn_bbox': box_loss / count}
        compare_losses(ours, expected, heads, 'rpn_head', our_maps, weights, maps)

    def test_an_object_far_from_all_anchors_has_those_that_overlap_it_most(self):
        assigner = build_heads(False, draw_weights(False))['rpn_head'].assigner
        anchors = torch.tensor([[0.0, 0, 32, 32], [50, 50, 82, 82], [100, 100, 132, 132]])
        objects = InstanceData(bboxes=torch.tensor([[60.0, 60, 64, 64]]), labels=torch.tensor([0]))
        assigned = assigner.assign(InstanceData(priors=anchors), objects)
        assert assigned.gt_inds.tolist() == [0, 1, 0]

    def outputs(self, maps, weights):
        """Logits and deltas of each image, all levels in a row."""
        logits, deltas = [], []
        head = 'proposal_generator.rpn_head'
        for x in maps:
            for i in range(2):
                x = F.relu(
                    F.conv2d(x, weights[f'{head}.conv.conv{i}.weight'], weights[f'{head}.conv.conv{i}.bias'], padding=1)
                )
            for collected, name in ((logits, 'objectness_logits'), (deltas, 'anchor_deltas')):
                out = F.conv2d(x, weights[f'{head}.{name}.weight'], weights[f'{head}.{name}.bias'])
                collected.append(out.permute(0, 2, 3, 1).flatten(1))
        return torch.cat(logits, 1), torch.cat(deltas, 1).unflatten(1, (-1, 4))

    def anchors(self, maps):
        """Of 32 pixels and their doubles, on the corners of the cells, with heights 0.5, 1 and 2 times their widths."""
        anchors = []
        for level, x in enumerate(maps):
            stride, side = 4 << level, 32 << level
            rows, columns = torch.arange(x.shape[2]), torch.arange(x.shape[3])
            centres = stride * torch.cartesian_prod(rows, columns).flip(1)
            sizes = torch.tensor([[side / ratio**0.5, side * ratio**0.5] for ratio in (0.5, 1.0, 2.0)])
            halves = torch.cat([-sizes, sizes], dim=1) / 2
            anchors.append((centres.repeat(1, 2)[:, None] + halves).flatten(0, 1))
        return torch.cat(anchors)


def compare_detections(results, boxes, scores, images, maps, weights):
    """Boxes, scores, classes and masks after suppression."""
    counts, drawn = [len(image.proposals) for image in images], 0
    for number, (image, result) in enumerate(zip(images, results)):
        of_image = oracle.clip(boxes.split(counts)[number], image.size)
        kept = oracle.suppress(of_image, scores.split(counts)[number][:, :-1], 0.05, 0.5, 100)
        assert len(kept) > 5
        torch.testing.assert_close(result.scores, torch.tensor([score for score, _, _ in kept]), rtol=1e-4, atol=1e-5)
        assert result.labels.tolist() == [label for _, label, _ in kept]
        chosen = [of_image[roi] if boxes.ndim == 2 else of_image[roi, label] for _, label, roi in kept]
        torch.testing.assert_close(result.bboxes, torch.stack(chosen), rtol=1e-4, atol=1e-3)
        of_levels = [level[number : number + 1] for level in maps]
        logits = oracle.mask_head(oracle.roi_features(of_levels, [torch.stack(chosen)], 14), weights)
        for (_, label, _), box, logit, mask in zip(kept, chosen, logits, result.masks):
            wanted = oracle.paste(logit[label].sigmoid(), box, image.size)
            assert (mask != wanted).sum() <= 0.001 * wanted.numel()
            drawn += wanted.sum()
    assert drawn > 1000
