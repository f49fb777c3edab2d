"""Predictions by models that answer what the tests know: what goes in, and what comes out."""

import itertools
import json
import pickle
import re
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from PIL import Image

from mmvitdense import mask_codes
from mmvitdense.apis import inputs
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.inference import Inferencer
from mmvitdense.apis.named_models import find_model
from mmvitdense.checkpoints import CheckpointError
from mmvitdense.checkpoints.zoo.names import entry_named

FAILING = 77

PAGES = ('README.md', 'docs/inference.md')


@MODELS.register_module()
class BrightSpot(BaseModel):
    """Finds the bright rectangle of each image, in pixels of the original image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.batches = []

    def forward(self, inputs, data_samples, mode):
        self.batches.append(len(inputs))
        return [self._find(image, sample) for image, sample in zip(inputs, data_samples)]

    @staticmethod
    def _find(image, sample):
        (height, width), (ori_height, ori_width) = image.shape[1:], sample.ori_shape
        if image.max() == FAILING:
            raise RuntimeError('too dim')
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
        return sample


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


def spot(height=40, width=60, top=10, left=20):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top : top + 20, left : left + 32] = 255
    return pixels


@pytest.fixture
def image(tmp_path):
    cv2.imwrite(str(tmp_path / 'spot.png'), spot())
    return tmp_path / 'spot.png'


@pytest.fixture
def inferencer(tmp_path):
    return Inferencer(config(tmp_path), 'random', 'cpu')


def test_a_detection_as_plain_data(inferencer, image):
    result = inferencer(image, score_thr=0.0)
    assert (result.size, result.names, result.path) == ((40, 60), ['sun', 'lamp'], str(image))
    assert (result.meta['img_shape'], result.meta['scale_factor']) == ((20, 30), (0.5, 0.5))
    assert [part.dtype for part in (result.boxes, result.scores, result.labels)] == [np.float32, np.float32, np.int64]
    np.testing.assert_array_equal(result.boxes, [[20, 10, 52, 30]] * 2)
    np.testing.assert_array_equal(result.mask(0), spot()[..., 0] > 0)
    assert result.polygons(0) == [[20, 10, 20, 29, 51, 29, 51, 10]]
    assert len(inferencer(image)) == 2
    assert len(inferencer(image, score_thr=0.5)) == len(result.filter(0.5)) == 1
    same = pickle.loads(pickle.dumps(result))
    assert json.dumps(same.to_dict()) == json.dumps(result.to_dict())


def test_json_of_a_detection(inferencer, image):
    content = inferencer(image, score_thr=0.5).to_dict()
    assert {key: content[key] for key in content if key != 'masks'} == {
        'height': 40,
        'width': 60,
        'path': str(image),
        'boxes': [[20.0, 10.0, 52.0, 30.0]],
        'scores': [0.9],
        'labels': [1],
        'names': ['sun'],
    }
    np.testing.assert_array_equal(mask_codes.decode(content['masks'][0]), spot()[..., 0] > 0)
    assert inferencer(image).to_dict(polygons=True)['masks'] == [[[20, 10, 20, 29, 51, 29, 51, 10]]] * 2


def test_coco_results(inferencer, image):
    result = inferencer(image, score_thr=0.5)
    (found,) = result.to_coco(7, category_ids=[3, 9])
    assert found['segmentation'] == result.masks[0]
    del found['segmentation']
    assert found == {'image_id': 7, 'category_id': 9, 'bbox': [20.0, 10.0, 32.0, 20.0], 'score': pytest.approx(0.9)}
    assert result.to_coco(7, {'lamp': 4, 'sun': 6})[0]['category_id'] == 6
    assert result.to_coco(7)[0]['category_id'] == 2


def test_the_sample_of_the_library_and_of_supervision(inferencer, image):
    result = inferencer(image, score_thr=0.0)
    sample = result.sample
    np.testing.assert_array_equal(sample.pred_instances.bboxes.numpy(), result.boxes)
    np.testing.assert_array_equal(sample.pred_instances.masks[1].numpy(), result.mask(1))
    assert (sample.ori_shape, sample.img_path) == ((40, 60), str(image))
    pytest.importorskip('supervision')
    detections = result.to_supervision()
    np.testing.assert_array_equal(detections.xyxy, result.boxes)
    np.testing.assert_array_equal(detections.mask[0], result.mask(0))
    assert detections.data['class_name'].tolist() == ['sun', 'lamp']


def test_every_way_to_give_an_image(inferencer, image, tmp_path):
    pixels = spot()
    tensor = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
    turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / 'turned.png', exif=exif)
    expected = inferencer(image).to_dict()
    del expected['path']
    for given in (
        *(
            str(image),
            pixels,
            pixels.astype(np.float32),
            tensor.numpy().transpose(1, 2, 0)[..., ::-1],
            Image.fromarray(pixels),
            Image.fromarray(pixels).convert('L'),
        ),
        *(tensor, tensor / 255, tensor[:1], Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), image),
        *(Image.open(tmp_path / 'turned.png'), tmp_path / 'turned.png'),
    ):
        result = inferencer(given)
        found = result.to_dict()
        found.pop('path', None)
        assert found == expected, given


def test_every_way_to_give_several(inferencer, image, tmp_path):
    pixels, path = spot(), str(image)
    (tmp_path / 'more').mkdir()
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(tmp_path / 'more' / name), pixels)
    writer = cv2.VideoWriter(str(tmp_path / 'film.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (60, 40))
    for _ in range(3):
        writer.write(pixels)
    writer.release()
    stack = np.stack([pixels] * 2)
    for given, names in (
        ([path, pixels, Image.fromarray(pixels)], ['spot.png', '1', '2']),
        (tmp_path / 'more', ['a.png', 'b.png']),
        (str(tmp_path / 'm*e' / '*.png'), ['a.png', 'b.png']),
        (stack, ['0', '1']),
        (torch.from_numpy(stack).permute(0, 3, 1, 2), ['0', '1']),
        ((part for part in [pixels, tmp_path / 'more']), ['0', 'a.png', 'b.png']),
        (tmp_path / 'film.avi', ['film.avi/000000', 'film.avi/000001', 'film.avi/000002']),
        ([path], ['spot.png']),
        ([], []),
    ):
        results = inferencer(given)
        assert [result.name for result in results] == names
    frames = list(inferencer.stream(tmp_path / 'film.avi'))
    assert [(result.frame, result.path) for result in frames] == [(n, str(tmp_path / 'film.avi')) for n in range(3)]


def test_cameras_are_streams(inferencer, monkeypatch):
    monkeypatch.setattr(inputs, 'camera_frames', lambda number: itertools.repeat(spot()))
    with pytest.raises(InputError, match='method stream'):
        inferencer(0)
    frames = inferencer.stream(0)
    assert [next(frames).frame for _ in range(3)] == [0, 1, 2]


def test_a_stream_reads_no_further_than_it_must(inferencer):
    read = []

    def given():
        for number in range(100):
            read.append(number)
            yield spot()

    stream = inferencer.stream(given(), batch_size=4)
    next(stream)
    assert len(read) <= 5


def test_batches_of_equal_sizes_in_the_order_given(inferencer):
    wide, high = spot(), spot(60, 40, 20, 4)
    given = [wide, high, wide, wide, high, wide, high, high, wide]
    results = inferencer(given, batch_size=4)
    assert inferencer.model.batches == [4, 4, 1]
    assert [result.size for result in results] == [image.shape[:2] for image in given]
    assert [result.name for result in results] == [str(number) for number in range(9)]
    one_by_one = [inferencer(image) for image in given]
    assert [result.boxes.tolist() for result in results] == [result.boxes.tolist() for result in one_by_one]


def test_images_of_many_sizes_do_not_pile_up(inferencer):
    results = inferencer.stream((spot(40 + 2 * number) for number in range(40)), batch_size=2)
    assert [result.height for result in results] == list(range(40, 120, 2))


def test_what_cannot_be_done_is_skipped_or_raised(inferencer, tmp_path):
    dim = np.full((40, 60, 3), FAILING, np.uint8)
    given = [spot(), dim, tmp_path / 'none.png', spot()]
    skipped = []
    results = inferencer.stream(given, batch_size=4, skip=lambda item, error: skipped.append((item.name, str(error))))
    assert [result.name for result in results] == ['0', '3']
    assert skipped == [('none.png', f'the image {tmp_path}/none.png does not exist'), ('1', 'too dim')]
    with pytest.raises(RuntimeError, match='too dim'):
        inferencer(given[:2])
    with pytest.raises(InputError, match='does not exist'):
        inferencer(given[2:])


def test_threads_may_share_one(inferencer):
    images = [spot(left=left) for left in range(0, 28, 2)]
    expected = [inferencer(image).to_dict() for image in images]
    found = {}

    def work(part):
        for number in range(part, len(images), 4):
            found[number] = inferencer(images[number]).to_dict()

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(images))] == expected


def test_class_names_of_the_checkpoint_come_first(tmp_path):
    checkpoint = tmp_path / 'w.pth'
    torch.save(
        {'state_dict': {'weight': torch.zeros(1)}, 'meta': {'dataset_meta': {'CLASSES': ('a', 'b')}}}, checkpoint
    )
    inferencer = Inferencer(config(tmp_path), checkpoint, 'cpu')
    assert inferencer.classes == ('a', 'b')
    assert inferencer.model.weight.item() == 0
    assert Inferencer(config(tmp_path), 'random', 'cpu').classes == ('lamp', 'sun')


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    torch.save({'other': torch.zeros(1)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'1 missing \(weight\), 1 unexpected \(other\)'):
        Inferencer(config(tmp_path), tmp_path / 'w.pth', 'cpu')


def test_a_picture_shows_the_box(inferencer, image):
    result = inferencer(image, score_thr=0.0)
    picture = inferencer.draw(image, result, score_thr=0.5)
    assert picture.shape == (320, 480, 3)
    bare = inferencer.draw(image, result, score_thr=0.95)
    changed = np.argwhere((picture != bare).any(-1))
    assert changed.min(0)[1] >= 158  # x of the box, and half a line
    assert changed.max(0).tolist() == pytest.approx([240, 416], abs=2)
    for other in (result.draw(score_thr=0.5), result.draw(Image.open(image), 0.5), result.draw(spot(), 0.5)):
        np.testing.assert_array_equal(other, picture)
    kept = inferencer(spot(), keep_images=True)
    np.testing.assert_array_equal(kept.draw(score_thr=0.5), picture)
    with pytest.raises(InputError, match='keeps no image'):
        inferencer(spot()).draw()
    with pytest.raises(InputError, match=r'20 x 20 pixels, and the result is of one of 40 x 60'):
        result.draw(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize('device', ['cuda:99', 'gpu'])
def test_a_device_that_is_not_there(tmp_path, device):
    with pytest.raises(InputError, match=f'The device {device} cannot be used'):
        Inferencer(config(tmp_path), 'random', device)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'precision': 'half'}, r"precision is 'half'; expected 'float32' or 'bfloat16'"),
        ({'batch_size': 0}, 'batch_size is 0; expected a whole number of at least 1'),
        ({'tiles': 4}, 'tiles is 4; expected the side of a tile'),
    ],
)
def test_options_that_mean_nothing(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Inferencer(config(tmp_path), 'random', 'cpu', **options)


def test_a_config_without_scope():
    with pytest.raises(InputError, match='default_scope'):
        Inferencer(Config({'model': {'type': 'BrightSpot'}}), 'random', 'cpu')


def test_the_lines_of_the_readme_and_the_docs(tmp_path, monkeypatch):
    root = Path(__file__).parents[2]
    parts = [re.findall(r'```python\n(.*?)```', (root / page).read_text(), re.DOTALL) for page in PAGES]
    three, first, second = [part for part in (*parts[0], *parts[1]) if 'nferencer' in part]
    assert len([line for line in three.splitlines() if line]) == 3
    asked = []

    def found(*arguments):
        asked.append(arguments)
        return find_model(config(tmp_path), 'random')

    monkeypatch.setattr('mmvitdense.apis.inference.find_model', found)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite('street.jpg', spot())
    for snippet in (three, first):
        given = {'image': spot()}
        exec(compile(snippet, 'page', 'exec'), given)
        assert cv2.imread('seen.png').shape == (320, 480, 3)
        Path('seen.png').unlink()
    exec(compile(second, 'page', 'exec'), given)
    assert given['picture'].shape == (320, 480, 3)
    assert isinstance(given['names'], list)
    for name, weights, options in asked:
        assert (weights, options) == (None, None)
        assert entry_named(name).weights
