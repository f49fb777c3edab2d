"""The faces of mask transformers for mmdet and mmseg: results, sizes, what they refuse."""

import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmvitdense.models.mask_transformers import MaskPredictions
from mmvitdense.registry import MODELS

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')


def det_head(**options):
    return MODELS.build(
        {'type': 'mmvitdense.MaskTransformerHead', 'num_things_classes': 2, 'num_stuff_classes': 1, **options}
    )


def seg_head(**options):
    return MODELS.build({'type': 'mmvitdense.MaskTransformerSegHead', 'num_classes': 3, **options})


def predictions(size=(30, 45), covered=(32, 48), classes=3, dtype=torch.float32, masks=None):
    of_class = torch.randn(2, 4, classes + 1, dtype=dtype)
    masks = torch.randn(2, 4, covered[0] // 4, covered[1] // 4, dtype=dtype) if masks is None else masks
    return MaskPredictions((of_class,), (masks,), size, covered)


def samples(labels):
    from mmseg.structures import SegDataSample

    return [SegDataSample(gt_sem_seg=PixelData(data=seg_map[None])) for seg_map in labels]


def test_scores():
    """Sums over queries of the probability of the class times that of the mask, at the pixels of the image."""
    found = predictions()
    scores = seg_head().predict(found, [{}, {}])
    masks, classes = found.pixel_masks().sigmoid(), found.classes[-1].softmax(-1)
    expected = sum(classes[:, query, :3, None, None] * masks[:, query, None] for query in range(4))
    torch.testing.assert_close(scores, expected)
    assert scores.shape == (2, 3, 30, 45)


def test_size_from_the_meta_data():
    """Of predictions made from maps: the padded image, or a window of it."""
    found = predictions(size=None)
    expected = seg_head().predict(found._replace(image_size=(30, 45)), [{}])
    for meta in (
        {'img_shape': (20, 40), 'pad_shape': (30, 45, 3)},
        {'img_shape': (30, 45)},
        {'img_shape': torch.Size((30, 45)), 'pad_shape': (99, 99)},
    ):
        torch.testing.assert_close(seg_head().predict(found, [meta] * 2), expected)
    assert det_head().predict(found, [])[1].shape == (2, 4, 32, 48)


def test_results_of_mmdet():
    found = predictions()
    classes, masks = det_head().predict(found, [])
    assert torch.equal(classes, found.classes[-1])
    assert torch.equal(masks, found.pixel_masks())


def test_masks_end_with_the_image():
    """In the loss too: where an image ends within a patch, targets and predictions have one scale."""
    seg_map = torch.full((30, 45), 255)
    seg_map[8:16, 20:40] = 1
    logits = torch.full((1, 4, 8, 12), -30.0)
    logits[0, 2, 2:4, 5:10] = 30.0
    found = predictions(masks=logits.expand(2, -1, -1, -1))
    losses = seg_head().loss(found, samples([seg_map, seg_map]))
    # Points within half a cell of the outline are between both.
    assert losses['loss_dice'] < 1.0
    shifted = predictions(masks=logits.roll(2, 3).expand(2, -1, -1, -1))
    assert seg_head().loss(shifted, samples([seg_map, seg_map]))['loss_dice'] > 2 * losses['loss_dice']


def test_nothing_annotated():
    empty = torch.full((30, 45), 255)
    for labels in ([empty, empty], [empty, torch.zeros_like(empty)]):
        losses = seg_head().loss(predictions(), samples(labels))
        assert all(value.isfinite() for value in losses.values())


def test_masks_without_a_pixel_are_no_objects():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    def loss(kept):
        masks = torch.zeros(2, 32, 48, dtype=torch.uint8)
        masks[0, 4:20, 4:20] = 1
        instances = InstanceData(labels=torch.tensor([1, 0])[:kept], masks=BitmapMasks(masks[:kept].numpy(), 32, 48))
        torch.manual_seed(0)
        found = predictions(size=(32, 48))
        torch.manual_seed(1)
        return det_head().loss(found, [DetDataSample(gt_instances=instances)] * 2)

    for name, value in loss(2).items():
        assert torch.equal(value, loss(1)[name]), name


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_losses_are_of_float32(dtype):
    """Sums over 12544 points do not fit into 16 bits."""
    found = predictions(size=(32, 48), dtype=dtype)
    found = found._replace(masks=tuple(100 * masks for masks in found.masks))
    seg_map = torch.randint(0, 3, (32, 48))
    with torch.autocast('cpu', torch.bfloat16):
        losses = seg_head().loss(found, samples([seg_map, seg_map]))
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert all(value.isfinite() for value in losses.values())


class TestOptions:
    def test_losses(self):
        head = det_head(no_object_weight=0.3, loss_mask={'loss_weight': 1.0}, loss_cls={'loss_weight': 4.0})
        assert head.class_weight == head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.3]
        assert (head.loss_cls.loss_weight, head.loss_mask.loss_weight, head.loss_dice.loss_weight) == (4.0, 1.0, 5.0)
        assert head.loss_mask.use_sigmoid
        focal = det_head(loss_mask={'type': 'mmdet.FocalLoss', 'loss_weight': 20.0})
        assert type(focal.loss_mask).__name__ == 'FocalLoss'

    def test_training(self):
        assert (det_head().num_points, det_head().importance_sample_ratio) == (12544, 0.75)
        assert seg_head(train_cfg={'num_points': 64}).num_points == 64
        with pytest.raises(ValueError, match=r"train_cfg of MaskTransformerHead takes .*, got \['points'\]"):
            det_head(train_cfg={'points': 64})

    def test_class_weights(self):
        with pytest.raises(ValueError, match='for each of 3 classes and one for no object, got 134 numbers'):
            det_head(loss_cls={'class_weight': [1.0] * 134})

    @pytest.mark.parametrize('head', [det_head, seg_head])
    def test_other_predictions(self, head):
        with pytest.raises(
            ValueError, match=r'predicts 9 classes, and its head has losses for 3: set model.backbone.num'
        ):
            head().predict(predictions(classes=9), [])
        with pytest.raises(TypeError, match='takes the predictions of a mask transformer, .* got tuple'):
            head().predict((torch.zeros(1),), [])

    def test_one_class(self):
        with pytest.raises(ValueError, match='at least 2, got 1: count the background as a class'):
            seg_head(num_classes=1)
