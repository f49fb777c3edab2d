"""PlainDETR: what no recorded output shows. The released code's are in `tests/fidelity/test_plain_detr.py`."""

import copy
from pathlib import Path

import pytest
import torch

import mmvitdense  # noqa: F401  (before mmdet, which takes over functions of mmcv)

pytest.importorskip('mmdet')

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmvitdense.apis.convert import convert_read
from mmvitdense.checkpoints import CheckpointError, convert, detect
from mmvitdense.checkpoints.formats.plain_detr import COCO_CATEGORIES
from mmvitdense.layers import box_attention
from mmvitdense.models.detection import BoxDeltaL1Cost
from mmvitdense.models.detection.plain_detr.boxes import decode, encode
from mmvitdense.models.detection.plain_detr.geometry import geometry_of
from tests.fidelity.agreement import assert_within, redraw
from tests.fidelity.golden import read_golden
from tests.fidelity.plain_detr import detector, images, samples

CONFIGS = Path(__file__).parents[3] / 'configs/plain_detr'
GOLDEN = read_golden('plain_detr')


@pytest.fixture(scope='module')
def model():
    return redraw(detector(windows=0), std=0.1)


def sample(height, width, side):
    shapes = {'img_shape': (height, width), 'ori_shape': (height, width), 'batch_input_shape': side}
    return DetDataSample(metainfo={**shapes, 'scale_factor': (1.0, 1.0)})


class TestBoxes:
    limits = torch.tensor([[64.0, 48.0]])

    def test_moved_stretched_and_clipped(self):
        references = torch.tensor([[[20.0, 20.0, 10.0, 8.0]] * 3])
        deltas = torch.tensor([[[0.5, -0.25, 0.0, 0.0], [0.0, 0.0, 9.0, -9.0], [-4.0, 0.0, 0.0, 0.0]]])
        tallest = 8 * 0.016
        expected = [[25.0, 18.0, 10.0, 8.0], [32.0, 20.0, 64.0, tallest], [0.0, 20.0, 0.0, 8.0]]
        torch.testing.assert_close(decode(references, deltas, self.limits), torch.tensor([expected]))

    def test_targets_count_a_tenth_of_a_pixel_more(self):
        references, boxes = torch.tensor([[20.0, 20.0, 9.9, 7.9]]), torch.tensor([[25.0, 18.0, 20.0, 8.0]])
        expected = torch.tensor([[0.5, -0.25, torch.tensor(2.0).log(), 0.0]])
        torch.testing.assert_close(encode(references, boxes), expected)
        back = decode(references[None], expected[None], self.limits)[0]
        assert not torch.allclose(back, boxes, atol=0.01)


class TestProposals:
    def test_anchors_by_hand(self, model):
        """Of the first stride, 4 pixels, with sides of 5; those of the third are too large for the second image."""
        geometry = geometry_of(torch.zeros(2, 32, 3, 4), [sample(24, 32, (24, 32)), sample(16, 20, (24, 32))], 8)
        assert geometry.limits.tolist() == [[32, 24], [24, 16]], 'whole tokens'
        features, anchors = model.proposals(torch.randn(2, 12, 32), geometry)
        # A stride of four tokens has one place, with zeros below the three rows.
        assert features.shape[1] == anchors.shape[1] == 6 * 8 + 3 * 4 + 1 * 2 + 1
        assert anchors[0, 9].tolist() == [6.0, 6.0, 5.0, 5.0]
        assert anchors[0, 49].tolist() == [12.0, 4.0, 10.0, 10.0]
        assert anchors[0, 60].tolist() == [8.0, 8.0, 20.0, 20.0]
        outside = (anchors[1] == 32).all(-1)
        assert outside[[6, 7, 4 * 8, 48 + 3, 48 + 8]].all(), 'padding'
        assert outside[60:].all(), 'as high as the image'
        assert not outside[[0, 5, 3 * 8, 48, 48 + 4]].any()
        assert features[1][outside].std(dim=0).max() < 1e-6, 'zeros passed on'

    def test_fewer_than_queries(self, model):
        given = torch.zeros(1, 3, 8, 16), [sample(8, 16, (8, 16))]
        with pytest.raises(ValueError, match='chooses 20 queries and the maps of these images give 12 proposals'):
            model.train().loss(*given)
        assert len(model.eval().predict(*given)[0].pred_instances) == 20


class TestPadding:
    def test_an_image_alone_and_in_a_batch(self, model):
        """Of what stands behind the ViT, which sees the padding: its map is given."""
        model.eval()
        features, side = torch.randn(1, 32, 4, 4), (48, 64)
        padded = torch.randn(1, 32, 6, 8)
        padded[..., :4, :4] = features
        with torch.no_grad():
            alone, together = (
                model.bbox_head.predict(**model.forward_transformer((maps,), [of_maps]), batch_data_samples=[of_maps])
                for maps, of_maps in ((features, sample(32, 32, (32, 32))), (padded, sample(32, 32, side)))
            )
        assert_within(together[0].bboxes, alone[0].bboxes, 1e-4, 'boxes')
        assert_within(together[0].scores, alone[0].scores, 1e-4, 'scores')

    def test_a_map_of_another_stride(self, model):
        with pytest.raises(
            ValueError, match=r'map of 3 x 4 of images of 48 x 64 pixels; expected one token for each 8'
        ):
            geometry_of(torch.zeros(1, 32, 3, 4), [sample(48, 64, (48, 64))], 8)


class TestTraining:
    def losses(self, model, **changes):
        given = samples(GOLDEN)
        for name, value in changes.items():
            setattr(given[0], name, value)
        return model.train().loss(images(GOLDEN), given)

    @pytest.mark.parametrize('boxes', [[], [[8.0, 8.0, 30.0, 40.0]], [[90.0, 90.0, 91.0, 91.0]]])
    def test_few_objects_or_none(self, model, boxes):
        """Finite, and a gradient for every parameter that learns, which distributed training asks for."""
        model.zero_grad()
        instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)))
        given = samples(GOLDEN)
        given[0].gt_instances, given[1].gt_instances = instances, instances[:0]
        losses = model.train().loss(images(GOLDEN), given)
        assert all(loss.isfinite().all() for loss in losses.values())
        sum(losses.values()).backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())

    def test_the_other_queries_change_nothing_for_the_first(self, model):
        """They are not seen, and their losses are added with their weight."""
        bare = detector(windows=0, num_one2many=0)
        weights = model.state_dict()
        weights['query_embedding.weight'] = weights['query_embedding.weight'][:8]
        bare.load_state_dict(weights)
        losses, of_first = self.losses(model), self.losses(bare)
        assert {name for name in losses if 'one2many' not in name} == of_first.keys()
        for name, loss in of_first.items():
            torch.testing.assert_close(losses[name], loss, msg=name)
        model.bbox_head.one2many_weight = 0.5
        half = self.losses(model)
        model.bbox_head.one2many_weight = 1.0
        for name, loss in losses.items():
            torch.testing.assert_close(half[name], loss * (0.5 if 'one2many' in name else 1), msg=name)

    def test_recomputed_and_in_slices(self, model, monkeypatch):
        """Layers computed again, and queries taken in turns, give the same gradients."""
        totals, grads = [], []
        for layers, elements in ((0, box_attention.ELEMENTS), (2, 16 * 48 * 8)):
            monkeypatch.setattr(box_attention, 'ELEMENTS', elements)
            model.encoder.num_cp = model.decoder.num_cp = layers
            model.zero_grad()
            totals.append(sum(self.losses(model).values()))
            totals[-1].backward()
            grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.encoder.num_cp = model.decoder.num_cp = 0
        torch.testing.assert_close(*totals)
        for name, gradient in grads[0].items():
            torch.testing.assert_close(grads[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)

    def test_autocast(self, model):
        """Losses near those of float32; boxes stay in it."""
        expected = self.losses(model)
        with torch.autocast('cpu', torch.bfloat16):
            losses = self.losses(model)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        total, wanted = sum(losses.values()), sum(expected.values())
        assert abs(total - wanted) < 0.05 * wanted
        total.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_stored_in_another_type(dtype):
    """Windows included; boxes are computed in float32."""
    model = redraw(detector(), std=0.1).eval()
    with torch.no_grad():
        (expected, _), (found, _) = (
            other.predict(images(GOLDEN).to(other.level_embed), samples(GOLDEN))
            for other in (model, copy.deepcopy(model).to(dtype))
        )
    assert found.pred_instances.bboxes.dtype == torch.float32
    assert abs(found.pred_instances.scores.mean() / expected.pred_instances.scores.mean() - 1) < 0.02


class TestFiles:
    def test_categories_of_coco(self):
        """91 classes become mmdet's 80; the proposals' first logit stays the first."""
        rows = torch.arange(91.0)[:, None].expand(-1, 32)
        names = [name for name in GOLDEN['sd'] if name.startswith('class_embed.') and name.endswith('weight')]
        converted = convert({**GOLDEN['sd'], **dict.fromkeys(names, rows)})
        first, *_, last = (converted[f'bbox_head.cls_branches.{index}.weight'][:, 0].tolist() for index in range(3))
        assert first == list(COCO_CATEGORIES)
        assert len(first) == 80
        assert (first[0], first[11], first[-1]) == (1, 13, 90), 'person, stop sign, toothbrush'
        assert last == [0, *first[1:]]

    def test_without_its_trunk_as_released(self):
        alone = {name: x for name, x in GOLDEN['sd'].items() if not name.startswith('backbone.')}
        form = detect(alone)
        assert (form.name, form.trunk(alone), form.trunk(GOLDEN['sd'])) == ('Plain-DETR', 'missing', None)
        expected = {name for name in detector().state_dict() if not name.startswith('backbone.')}
        assert convert(alone).keys() == expected

    def test_joined_with_the_file_of_its_trunk(self, tmp_path):
        """As `tools/convert.py HEAD OUT --trunk VIT` does it."""
        prefix, parts = 'backbone.0._backbone.backbone.', ({}, {})
        for name, tensor in GOLDEN['sd'].items():
            parts[name.startswith(prefix)][name.removeprefix(prefix)] = tensor
        torch.save(parts[1], tmp_path / 'vit.pth')
        joined = convert_read(parts[0], 'head.pth', trunk=tmp_path / 'vit.pth').weights
        expected = convert(GOLDEN['sd'])
        assert expected.keys() <= joined.keys()
        assert all(torch.equal(joined[name], tensor) for name, tensor in expected.items())
        left = detector().load_state_dict(joined, strict=False)
        assert not left.missing_keys
        assert {name.split('.')[2] for name in left.unexpected_keys} <= {'mask_token', 'local_cls_norm'}

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('backbone.0._backbone.layer_norms.0.ln.weight', 'norms of its own for each map of its ViT'),
            ('backbone.0.backbone.layers.0.weight', 'the trunk of this Plain-DETR is no DINOv3'),
        ],
    )
    def test_other_trunks(self, name, message):
        alone = {name: x for name, x in GOLDEN['sd'].items() if not name.startswith('backbone.')}
        with pytest.raises(CheckpointError, match=message):
            detect(alone).convert({**alone, name: torch.zeros(1)})


def test_parameters_of_the_released_model():
    """Without its trunk, with the 91 classes of the file."""
    config = Config.fromfile(CONFIGS / 'vit-7b-dinov3_plain-detr_24e_coco.py')
    config.model.backbone.vit.pop('init_cfg')
    config.model.bbox_head.num_classes = 91
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(config.model)
    parts = (sum(p.numel() for p in module.parameters()) for module in (model, model.backbone))
    assert next(parts) - next(parts) == 129_070_745
    assert model.backbone.out_indices == (9, 19, 29, 39)


def test_initial_weights():
    """Boxes start as the proposals, scores at a hundredth; encoder and proposals by Xavier, decoder by a normal one."""
    torch.manual_seed(0)
    model = detector(windows=0)
    model.init_weights()
    for branch in model.bbox_head.reg_branches:
        assert not branch[-1].weight.any()
        assert not branch[-1].bias.any()
    assert model.bbox_head.cls_branches[0].bias.sigmoid().tolist() == pytest.approx([0.01] * 5)
    assert model.decoder.layers[0].cross_attn.q.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.encoder.layers[0].ffn.layers[1].weight.std().item() == pytest.approx((2 / 80) ** 0.5, rel=0.1)
    assert model.level_embed.std() > 0.5


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'proposals': {'factors': (1, 3)}}, 'factors got 3; expected powers of two'),
        ({'proposals': {'factors': (0,)}}, 'factors got 0; expected powers of two'),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(ValueError, match=message):
        detector(**changes)


def test_the_boxes_that_are_compared_are_those_of_true_objects():
    """The cost of a prediction that is right is that of the tenth of a pixel."""
    boxes = torch.tensor([[10.0, 10.0, 30.0, 40.0], [2.0, 3.0, 20.0, 12.0]])
    references = bbox_xyxy_to_cxcywh(boxes) + torch.tensor([2.0, -1.0, 4.0, 1.0])
    predicted = InstanceData(references=references, deltas=encode(references, bbox_xyxy_to_cxcywh(boxes)))
    cost = BoxDeltaL1Cost(weight=3.0)(predicted, InstanceData(bboxes=boxes))
    assert cost.diagonal().abs().max() < 1e-6
    assert cost.fliplr().diagonal().min() > 1
