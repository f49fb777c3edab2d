"""RawPaddingDetDataPreprocessor: grey padding before the mean is taken away."""

import pytest
import torch

pytest.importorskip('mmdet')

from mmdet.structures import DetDataSample

from mmvitdense.registry import MODELS

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.fixture
def preprocessor():
    return MODELS.build(
        {
            'type': 'mmvitdense.RawPaddingDetDataPreprocessor',
            'raw_pad_value': 128,
            'mean': MEAN,
            'std': STD,
            'bgr_to_rgb': True,
            'pad_size_divisor': 32,
        }
    )


def batch(*sizes):
    samples = [DetDataSample(metainfo={'img_shape': size}) for size in sizes]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    return {'inputs': images, 'data_samples': samples}


@pytest.mark.parametrize('training', [False, True])
def test_values_and_shapes(preprocessor, training):
    data = batch((20, 40), (33, 17), (64, 64))
    images = [image.clone() for image in data['inputs']]
    result = preprocessor(data, training)
    assert result['inputs'].shape == (3, 3, 64, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for image, output, sample in zip(images, result['inputs'], result['data_samples']):
        canvas = torch.full((3, 64, 64), 128.0)
        canvas[:, : image.shape[1], : image.shape[2]] = image.flip(0)
        torch.testing.assert_close(output, (canvas - mean) / std)
        assert sample.img_shape == tuple(image.shape[1:])
        assert sample.pad_shape == sample.batch_input_shape == (64, 64)


def test_images_that_are_stacked(preprocessor):
    data = batch((32, 40), (32, 40))
    separate = preprocessor({**data, 'inputs': list(data['inputs'])})['inputs']
    assert torch.equal(preprocessor({**data, 'inputs': torch.stack(data['inputs'])})['inputs'], separate)
    assert separate.shape == (2, 3, 32, 64)
