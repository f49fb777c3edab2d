"""The inferencer with real models: what their own test_step gives, in batches, threads, tiles and less memory."""

import threading
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmvitdense.apis import inference
from mmvitdense.apis.build import build_model
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.fusing import fuse_for_inference
from mmvitdense.apis.inference import Inferencer
from mmvitdense.apis.named_models import find_model
from mmvitdense.datasets.shapes import write_shapes
from tests.integration.workshop import DETECTOR, SEGMENTOR, TINY_DETECTOR, TINY_SEGMENTOR
from tests.warm_python import REPOSITORY

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')
CONFIGS = REPOSITORY / 'configs'
MASK2FORMER = CONFIGS / 'vitdet/vitdet-tiny_mask2former-panoptic_shapes.py'
EOMT = CONFIGS / 'eomt/eomt-tiny_panoptic_shapes.py'
MODELS = {
    'mask-rcnn': (DETECTOR, TINY_DETECTOR),
    'upernet': (SEGMENTOR, TINY_SEGMENTOR),
    'mask2former': (MASK2FORMER, {}),
    'eomt': (EOMT, {}),
    'one score': (CONFIGS / 'iml_vit/iml-vit-tiny_shapes.py', {}),
}
# Of the boxes, masks and segments of a model that has learnt nothing, as many as a trained one has.
FINDING = {'object_mask_thr': 0.2, 'iou_thr': 0.3}


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Images of three sizes, two of each."""
    folder = tmp_path_factory.mktemp('images')
    found = []
    for size in ((96, 128), (128, 96), (100, 100)):
        root = write_shapes(folder / f'{size[0]}x{size[1]}', 2, 1, image_size=size, seed=size[0])
        found += [cv2.imread(str(path)) for path in sorted(root.rglob('images/training/*.jpg'))]
    return [found[number] for number in (0, 2, 4, 1, 3, 5)]


@pytest.fixture(scope='module')
def make():
    """An inferencer, and its model as mmdet or mmseg have it."""

    def _make(name, fused=True, **options):
        torch.manual_seed(3)
        config, tiny = MODELS[name]
        found = find_model(config, 'random', tiny)
        drawn = []

        def draw_and_fuse(model, precision):
            for parameter in model.parameters():
                parameter.data += 0.05 * torch.randn_like(parameter)
            if name == 'mask-rcnn':
                torch.nn.init.normal_(model.roi_head.bbox_head.fc_cls.weight, std=0.3)
            drawn.append(model.state_dict())
            return fuse_for_inference(model, precision) if fused else model

        with mock.patch.object(inference, 'fuse_for_inference', draw_and_fuse):
            inferencer = Inferencer(found, device='cpu', **options)
        plain = build_model(found.config).eval()
        plain.load_state_dict(drawn[0])
        for model in (plain, inferencer.model):
            if hasattr(model, 'panoptic_fusion_head'):
                model.panoptic_fusion_head.test_cfg.update(FINDING)
        return inferencer, plain

    return _make


def theirs(inferencer, plain, image):
    data = inferencer._images.prepare(inferencer._images.read(image))
    with torch.no_grad():
        return plain.test_step(pseudo_collate([data]))[0]


@pytest.mark.parametrize('name', MODELS)
def test_results_in_batches_are_those_of_test_step(make, images, name):
    inferencer, plain = make(name)
    results = inferencer(images, score_thr=0.0, batch_size=2)
    seen = 0
    for image, result in zip(images, results):
        expected = theirs(inferencer, plain, image)
        assert result.size == image.shape[:2] == expected.ori_shape
        if 'pred_instances' in expected:
            instances = expected.pred_instances
            np.testing.assert_allclose(result.boxes, instances.bboxes.numpy(), atol=1e-3)
            np.testing.assert_allclose(result.scores, instances.scores.numpy(), atol=1e-4)
            np.testing.assert_array_equal(result.labels, instances.labels.numpy())
            masks = result.sample.pred_instances.masks.numpy()
            # At a threshold a pixel may fall to the other side by the rounding of a batch.
            assert (masks != instances.masks.numpy()).sum() <= 1e-4 * masks.sum()
            seen += masks.sum()
        if 'pred_panoptic_seg' in expected:
            assert (result.segment_map != expected.pred_panoptic_seg.sem_seg[0].numpy()).mean() < 1e-3
            assert result.segments
            assert sum(segment['area'] for segment in result.segments) <= result.height * result.width
        if 'pred_sem_seg' in expected:
            assert (result.label_map != expected.pred_sem_seg.data[0].numpy()).mean() < 1e-3
            seen += 1
    assert seen


@pytest.mark.parametrize('name', ['mask-rcnn', 'mask2former'])
def test_the_masks_of_single_images_are_those_of_mmdet_to_the_pixel(make, images, name):
    inferencer, plain = make(name, fused=False)  # rounding moves a pixel now and then
    numbers = []
    for image in images[:3]:
        expected = theirs(inferencer, plain, image).pred_instances
        result = inferencer(image, score_thr=0.0)
        np.testing.assert_array_equal(result.sample.pred_instances.masks.numpy(), expected.masks.numpy())
        threshold = float(expected.scores.median()) if len(expected) else 0.5
        kept = expected[expected.scores >= threshold]
        few = inferencer(image, score_thr=threshold)
        np.testing.assert_array_equal(few.sample.pred_instances.masks.numpy(), kept.masks.numpy())
        numbers.append((len(few), len(result)))
    assert any(0 < few < all_of_them for few, all_of_them in numbers)


def test_four_threads_find_what_one_does(make, images):
    inferencer, _ = make('mask-rcnn')
    expected = [inferencer(image).to_dict() for image in images]
    found = [None] * 4

    def work(thread):
        found[thread] = [inferencer(image).to_dict() for image in images]

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize('name', MODELS)
def test_bfloat16(make, images, name):
    exact, rounded = make(name)[0], make(name, precision='bfloat16')[0]
    one, other = exact(images[0], score_thr=0.0), rounded(images[0], score_thr=0.0)
    if one.label_map is not None:
        assert (one.label_map == other.label_map).mean() > 0.9
    else:
        assert other.boxes.dtype == other.scores.dtype == np.float32
        assert abs(float(one.scores.max()) - float(other.scores.max())) < 0.05


def test_a_label_map_in_tiles_is_that_of_windows_in_the_size_of_the_image(make):
    large = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8), (280, 200))
    inferencer, plain = make('upernet', tiles=64, batch_size=3)
    result = inferencer(large)
    plain.test_cfg.update(mode='even_slide', crop_size=(64, 64), window_batch=1)
    data = inferencer._images.prepare(inferencer._images.read(large))
    assert data['inputs'].shape[1:] == (200, 280)
    with torch.no_grad():
        expected = plain.test_step(pseudo_collate([data]))[0]
    assert (result.label_map != expected.pred_sem_seg.data[0].numpy()).mean() < 1e-3


def test_objects_in_tiles(make, images):
    pytest.importorskip('sahi')
    inferencer, _ = make('mask-rcnn', tiles=64, batch_size=4)
    plain, _ = make('mask-rcnn')
    small = images[0][:60, :64]
    assert inferencer(small).to_dict() == plain(small).to_dict(), 'no larger than a tile'
    result = inferencer(images[0], score_thr=0.05, keep_images=True)
    assert 0 < len(result) == len(result.masks)
    assert np.all(np.diff(result.scores) <= 0)
    assert all(tuple(mask['size']) == result.size == (96, 128) for mask in result.masks)
    whole = plain(images[0], score_thr=0.05)
    assert result.boxes[:, 2].max() <= 128
    best = int(whole.scores.argmax())
    containing = (result.boxes[:, :2] <= whole.boxes[best, :2] + 1e-3) & (
        result.boxes[:, 2:] >= whole.boxes[best, 2:] - 1e-3
    )
    assert containing.all(1).any()
    assert result.draw().shape[0] % 96 == 0
    with pytest.raises(InputError, match='tiles are for boxes and masks'):
        make('eomt', tiles=64)[0](images[0])
