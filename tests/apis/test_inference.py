"""Predictions for single images, by models that answer what the tests know."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from pycocotools import mask as coco

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.inference import ImageInferencer
from mmvitdense.checkpoints import CheckpointError


@MODELS.register_module()
class BrightSpot(BaseModel):
    """Finds the bright rectangle of an image, in pixels of the original image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        (image,), (sample,) = inputs, data_samples
        (height, width), (ori_height, ori_width) = image.shape[1:], sample.ori_shape
        bright = image.float().mean(0) > 128
        y, x = torch.nonzero(bright, as_tuple=True)
        box = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
        box = box * torch.tensor([ori_width / width, ori_height / height] * 2)
        mask = torch.zeros(ori_height, ori_width, dtype=torch.bool)
        left, top, right, bottom = box.round().int().tolist()
        mask[top:bottom, left:right] = True
        sample.pred_instances = InstanceData(
            bboxes=box[None].repeat(2, 1),
            scores=torch.tensor([0.9, 0.4]),
            labels=torch.tensor([1, 0]),
            masks=mask[None].repeat(2, 1, 1),
        )
        sample.seen = image
        return [sample]


def config(tmp_path, **more):
    """A config whose pipeline halves the image."""
    path = tmp_path / 'bright.py'
    pipeline = [
        {'type': 'LoadImageFromFile'},
        {'type': 'Resize', 'scale_factor': 0.5},
        {'type': 'LoadAnnotations', 'with_bbox': True},
        {'type': 'PackDetInputs', 'meta_keys': ('img_path', 'ori_shape', 'img_shape', 'scale_factor')},
    ]
    dataset = {'type': 'CocoDataset', 'metainfo': {'classes': ('lamp', 'sun')}, 'pipeline': pipeline}
    cfg = {
        'default_scope': 'mmdet',
        'model': {'type': 'BrightSpot', **more},
        'test_dataloader': {'dataset': {'type': 'RepeatDataset', 'times': 2, 'dataset': dataset}},
    }
    path.write_text(''.join(f'{key} = {value!r}\n' for key, value in cfg.items()))
    return path


@pytest.fixture
def image(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:30, 20:52] = 255
    cv2.imwrite(str(tmp_path / 'spot.png'), pixels)
    return tmp_path / 'spot.png'


@pytest.fixture
def inferencer(tmp_path):
    return ImageInferencer(config(tmp_path), device='cpu')


def test_the_test_pipeline_runs_without_its_loading_steps(inferencer, image):
    sample = inferencer(image)
    assert sample.img_shape == (20, 30)
    assert sample.ori_shape == (40, 60)
    assert sample.seen.shape == (3, 20, 30)


def test_an_array_gives_what_its_file_gives(inferencer, image):
    from_file, from_array = inferencer(image), inferencer(cv2.imread(str(image)))
    torch.testing.assert_close(from_file.pred_instances.bboxes, from_array.pred_instances.bboxes)
    torch.testing.assert_close(from_file.seen, from_array.seen)


def test_json_of_a_detection(inferencer, image):
    content = inferencer.to_json(inferencer(image), score_thr=0.5)
    assert {key: content[key] for key in content if key != 'masks'} == {
        'height': 40,
        'width': 60,
        'boxes': [[20.0, 10.0, 52.0, 30.0]],
        'scores': [0.9],
        'labels': [1],
        'names': ['sun'],
    }
    expected = np.zeros((40, 60), np.uint8)
    expected[10:30, 20:52] = 1
    np.testing.assert_array_equal(coco.decode(content['masks'][0]), expected)
    assert len(inferencer.to_json(inferencer(image))['boxes']) == 2


def test_json_of_a_panoptic_segmentation(inferencer):
    ids = torch.tensor([[[0, 1001, 2001, 2]]])
    sample = BaseDataElement(metainfo={'ori_shape': (1, 4)}, pred_panoptic_seg=PixelData(sem_seg=ids))
    segments = inferencer.to_json(sample)['segments']
    assert [(segment['label'], segment['name']) for segment in segments] == [(0, 'lamp'), (1, 'sun'), (1, 'sun')]
    masks = [coco.decode(segment['mask']).tolist() for segment in segments]
    assert masks == [[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 1, 0]]], 'number 2 is no segment: there are two classes'


def test_json_and_label_map_of_a_segmentation(inferencer):
    labels = torch.tensor([[0, 0, 0, 5]])
    sample = BaseDataElement(metainfo={'ori_shape': (1, 4)}, pred_sem_seg=PixelData(data=labels[None]))
    assert inferencer.to_json(sample, label_map='labels/a.png') == {
        'height': 1,
        'width': 4,
        'classes': {'lamp': 0.75, 'class 5': 0.25},
        'label_map': 'labels/a.png',
    }
    np.testing.assert_array_equal(inferencer.label_map(sample), labels.numpy())
    assert inferencer.label_map(sample).dtype == np.uint8
    sample.pred_sem_seg.data = labels[None] * 100
    assert inferencer.label_map(sample).max() == 500
    assert inferencer.label_map(BaseDataElement()) is None


def test_class_names_of_the_checkpoint_come_first(tmp_path):
    checkpoint = tmp_path / 'w.pth'
    torch.save(
        {'state_dict': {'weight': torch.zeros(1)}, 'meta': {'dataset_meta': {'CLASSES': ('a', 'b')}}}, checkpoint
    )
    inferencer = ImageInferencer(config(tmp_path), checkpoint, 'cpu')
    assert inferencer.classes == ('a', 'b')
    assert inferencer.model.weight.item() == 0
    assert ImageInferencer(config(tmp_path), device='cpu').classes == ('lamp', 'sun')


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    torch.save({'other': torch.zeros(1)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'1 missing \(weight\), 1 unexpected \(other\)'):
        ImageInferencer(config(tmp_path), tmp_path / 'w.pth', 'cpu')


def test_a_picture_shows_the_box(inferencer, image):
    picture = inferencer.draw(image, inferencer(image), score_thr=0.5)
    assert picture.shape == (320, 480, 3)
    bare = inferencer.draw(image, inferencer(image), score_thr=0.95)
    changed = np.argwhere((picture != bare).any(-1))
    assert changed.min(0)[1] >= 158  # x of the box, and half a line
    assert changed.max(0).tolist() == pytest.approx([240, 416], abs=2)


@pytest.mark.parametrize('device', ['cuda:99', 'gpu'])
def test_a_device_that_is_not_there(tmp_path, device):
    with pytest.raises(InputError, match=f'The device {device} cannot be used'):
        ImageInferencer(config(tmp_path), device=device)


def test_a_config_without_scope(tmp_path):
    with pytest.raises(InputError, match='default_scope'):
        ImageInferencer(Config({'model': {'type': 'BrightSpot'}}), device='cpu')
