"""Images reach the model as mmdet's and mmseg's own inference gives them."""

import copy
import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import RepeatDataset
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from mmvitdense.apis.errors import InputError
from mmvitdense.apis.image_loading import loading_of
from mmvitdense.apis.inference import Inferencer

PACKING = {'mmdet': 'PackDetInputs', 'mmseg': 'PackSegInputs'}
KINDS = {'mmdet': 'CocoDataset', 'mmseg': 'BaseSegDataset'}
LOADERS = (
    {},
    {'to_float32': True},
    {'color_type': 'color_ignore_orientation'},
    {'color_type': 'grayscale'},
    {'color_type': 'unchanged'},
    {'imdecode_backend': 'pillow'},
)


@MODELS.register_module()
class Witness(BaseModel):
    """Answers with the image that it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        data_samples[0].seen = self.seen = inputs[0]
        self.meta = data_samples[0]
        return data_samples


def seen(inferencer, image):
    """What the model got."""
    inferencer(image)
    return inferencer.model.meta


def config(scope, loader=(), **more):
    pipeline = [
        {'type': 'LoadImageFromFile', **dict(loader)},
        {'type': 'Resize', 'scale': (40, 30), 'keep_ratio': True},
        {'type': 'LoadAnnotations'},
        {'type': PACKING[scope]},
    ]
    dataset = {'type': KINDS[scope], 'pipeline': pipeline}
    return Config(
        {
            'default_scope': scope,
            'model': {'type': 'Witness'},
            'test_pipeline': pipeline,
            'test_dataloader': {'dataset': dataset},
            **more,
        }
    )


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    colour = Image.fromarray(pixels)
    turned = colour.getexif()
    turned[0x0112] = 6
    colour.save(folder / 'turned.jpg', exif=turned)
    colour.convert('L').save(folder / 'grey.png')
    Image.fromarray(np.dstack([pixels, pixels[..., 0]]), 'RGBA').save(folder / 'rgba.png')
    colour.quantize(16).save(folder / 'palette.png', transparency=3)
    colour.convert('CMYK').save(folder / 'cmyk.jpg')
    colour.convert('LA').save(folder / 'la.png')
    cv2.imwrite(str(folder / 'deep.png'), pixels.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'float.tiff'), pixels.astype(np.float32))
    colour.save(folder / 'moving.gif', save_all=True, append_images=[colour.rotate(180)])
    colour.crop((0, 0, 36, 1)).save(folder / 'line.png')
    colour.crop((0, 0, 1, 1)).save(folder / 'dot.png')
    (folder / 'cut.jpg').write_bytes((folder / 'turned.jpg').read_bytes()[:-100])
    return sorted(folder.iterdir())


def theirs(scope, model, image):
    if scope == 'mmdet':
        from mmdet.apis import inference_detector

        return inference_detector(model, image)
    from mmseg.apis import inference_model

    return inference_model(model, image)


@pytest.mark.parametrize('loader', LOADERS, ids=str)
@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_files_are_read_as_their_own_library_reads_them(images, scope, loader):
    inferencer = Inferencer(config(scope, loader), 'random', 'cpu')
    agreed = 0
    for path in images:
        inferencer.model.cfg = copy.deepcopy(inferencer.cfg)
        try:
            expected = theirs(scope, inferencer.model, str(path))
        except Exception:
            with pytest.raises(Exception, match='.'):
                seen(inferencer, path)
            continue
        found = seen(inferencer, path)
        assert found.seen.dtype == expected.seen.dtype
        torch.testing.assert_close(found.seen, expected.seen, rtol=0, atol=0, msg=path.name, equal_nan=True)
        assert found.metainfo.keys() == expected.metainfo.keys()
        assert {key: found.metainfo[key] for key in ('ori_shape', 'img_shape', 'img_path')} == {
            key: expected.metainfo[key] for key in ('ori_shape', 'img_shape', 'img_path')
        }
        agreed += 1
    assert agreed >= len(images) - 2


@pytest.mark.parametrize('loader', [{}, {'to_float32': True}, {'color_type': 'grayscale'}], ids=str)
@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_arrays_are_taken_as_their_own_library_takes_them(scope, loader):
    inferencer = Inferencer(config(scope, loader), 'random', 'cpu')
    size = (24, 36) if 'color_type' in loader else (24, 36, 3)
    array = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    for image in (array, array.astype(np.float32)):
        inferencer.model.cfg = copy.deepcopy(inferencer.cfg)
        expected, found = theirs(scope, inferencer.model, image), seen(inferencer, image)
        torch.testing.assert_close(found.seen, expected.seen, rtol=0, atol=0)
        assert found.ori_shape == expected.ori_shape
    assert seen(inferencer, array.astype(np.float64)).seen.dtype == torch.float32


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4), np.uint8), r'H x W x 3 values in BGR order, got an array of \(4, 4\)'),
        (np.zeros((4, 4, 4), np.uint8), r'got an array of \(4, 4, 4\)'),
        (np.zeros((0, 4, 3), np.uint8), r'empty array of \(0, 4, 3\)'),
        (np.full((4, 4, 3), 40000, np.uint16), 'uint16 with values from 40000 to 40000: scale it to 0..255 and conv'),
        (np.full((4, 4, 3), 200, np.int64), 'int64 with values from 200 to 200: convert it to uint8'),
        (np.full((4, 4, 3), True), 'bool with values from 1 to 1: scale it to 0..255 and convert'),
        (np.full((4, 4, 3), 0.5), 'float64 with values from 0.5 to 0.5: multiply it by 255'),
        (np.full((4, 4, 3), -2.0, np.float32), 'from -2 to -2: scale it to 0..255'),
        (np.full((4, 4, 3), np.nan, np.float32), 'from nan to nan: scale it to 0..255'),
        (Image.new('F', (4, 4), 300.0), 'PIL image with values from 0 to 255, got one of mode F with values from 300'),
        (torch.zeros(4, 4, 3), r'3 x H x W in RGB order, .*, got one of \(4, 4, 3\)'),
        (torch.full((3, 4, 4), 200.0), 'from 0 to 1, got torch.float32 with values from 200 to 200'),
        (torch.zeros(3, 4, 4, dtype=torch.int64), 'got one of torch.int64'),
        (b'bytes', 'got a bytes'),
        (None, 'got a NoneType'),
    ],
)
def test_what_the_model_was_not_made_for_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        Inferencer(config('mmdet'), 'random', 'cpu')(image)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('bad.jpg', r'is not an image that can be read$'),
        ('empty.jpg', 'is an empty file'),
        ('none.jpg', 'does not exist'),
        ('folder.jpg', 'has no images in it'),
        ('pipe.jpg', 'is not a regular file'),
    ],
)
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_files_that_are_no_images(tmp_path, name, message, backend):
    (tmp_path / 'bad.jpg').write_text('no image')
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'folder.jpg').mkdir()
    os.mkfifo(tmp_path / 'pipe.jpg')
    if backend == 'pillow':
        message = message.replace('$', r' \(UnidentifiedImageError: ')
    with pytest.raises(InputError, match=message):
        Inferencer(config('mmseg', {'imdecode_backend': backend}), 'random', 'cpu')(tmp_path / name)


def test_which_pipeline_is_that_of_the_test(images):
    inner = config('mmdet').test_dataloader.dataset
    colour = next(path for path in images if path.name == 'turned.jpg')
    expected = seen(Inferencer(config('mmdet'), 'random', 'cpu'), colour).seen
    concatenated = {'type': 'ConcatDataset', 'datasets': [inner, {**inner, 'pipeline': []}]}
    for change in (
        {'test_dataloader': {'dataset': {'type': 'RepeatDataset', 'times': 2, 'dataset': concatenated}}},
        {'test_dataloader': None, 'val_dataloader': {'dataset': inner}, 'test_pipeline': None},
        {'test_dataloader': None},
    ):
        found = seen(Inferencer(config('mmdet', **change), 'random', 'cpu'), colour).seen
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    nothing = config('mmdet', test_dataloader=None, test_pipeline=None)
    with pytest.raises(InputError, match='does not say how images are prepared'):
        Inferencer(nothing, 'random', 'cpu')


@pytest.mark.parametrize(
    ('loader', 'message'),
    [
        ({'type': 'LoadNoSuchImage'}, r'The test pipeline of .* cannot be built: KeyError: .*LoadNoSuchImage'),
        ({'type': 'LoadBiomedicalImageFromFile', 'decode_backend': 'pickle'}, 'reading one can run code'),
    ],
)
def test_loaders_that_cannot_be_used(loader, message):
    cfg = config('mmseg')
    cfg.test_dataloader.dataset.pipeline[0] = loader
    with pytest.raises(InputError, match=message):
        Inferencer(cfg, 'random', 'cpu')


def test_the_picture_is_of_the_image_that_the_model_saw(images):
    turned = next(path for path in images if path.name == 'turned.jpg')
    for loader, size in (({}, (504, 336)), ({'color_type': 'color_ignore_orientation'}, (336, 504))):
        inferencer = Inferencer(config('mmseg', loader), 'random', 'cpu')
        assert inferencer.draw(turned, inferencer(turned)).shape[:2] == size
        assert inferencer(turned).size == tuple(value // 14 for value in size)


def test_images_of_a_data_set_are_read_by_its_own_pipeline(images):
    turned = next(path for path in images if path.name == 'turned.jpg')
    parts = []
    for loader in ({}, {'color_type': 'color_ignore_orientation'}):
        dataset = {
            **config('mmseg', loader).test_dataloader.dataset,
            'data_prefix': {'img_path': str(turned.parent)},
            'img_suffix': turned.name,
        }
        parts.append(dataset)
    with DefaultScope.overwrite_default_scope('mmseg'):
        both = RepeatDataset({'type': 'ConcatDataset', 'datasets': parts}, 2)
    shapes = [loading_of(both, index)().shape for index in range(len(both))]
    assert shapes == [(36, 24, 3), (24, 36, 3)] * 2
