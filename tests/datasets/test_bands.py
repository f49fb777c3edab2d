"""Images of many bands."""

import numpy as np
import pytest

from mmvitdense.apis.pictures import as_bgr
from mmvitdense.datasets.band_files import size_of_bands
from mmvitdense.datasets.transforms import LoadBands, StretchBands
from mmvitdense.visualization.drawing import as_picture

BANDS = np.random.default_rng(0).integers(0, 10000, (5, 7, 13), dtype=np.uint16)


@pytest.mark.parametrize('planar', ['contig', 'separate'])
def test_tiff(tmp_path, planar):
    """16 bits come back, whether the bands of a pixel or the pixels of a band stand together."""
    tifffile = pytest.importorskip('tifffile')
    path = tmp_path / 'image.tif'
    content = BANDS if planar == 'contig' else BANDS.transpose(2, 0, 1)
    tifffile.imwrite(path, content, planarconfig=planar, photometric='minisblack')
    results = LoadBands()({'img_path': str(path)})
    assert results['img'].dtype == np.float32
    assert np.array_equal(results['img'], BANDS)
    assert results['img_shape'] == results['ori_shape'] == (5, 7)
    assert size_of_bands(path) == (7, 5)
    assert np.array_equal(as_bgr(path), as_picture(BANDS)), 'a result is drawn on its file'
    assert np.array_equal(LoadBands(bands=[3, 2, 1])({'img_path': str(path)})['img'], BANDS[:, :, [3, 2, 1]])


def test_one_band(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path / 'image.tiff', BANDS[:, :, 0])
    assert LoadBands()({'img_path': str(tmp_path / 'image.tiff')})['img'].shape == (5, 7, 1)


@pytest.mark.parametrize('channels_first', [False, True])
def test_arrays(tmp_path, channels_first):
    np.save(tmp_path / 'image.npy', BANDS.transpose(2, 0, 1) if channels_first else BANDS)
    path = str(tmp_path / 'image.npy')
    results = LoadBands(channels_first=channels_first, shown=[7, 3, 2])({'img_path': path})
    assert np.array_equal(results['img'], BANDS)
    assert results['shown_bands'] == [7, 3, 2]
    assert size_of_bands(path, channels_first) == (7, 5)


def test_stretch():
    """In float32 before anything is cut off; a mean is the middle."""
    mean, std = BANDS.mean((0, 1)), BANDS.std((0, 1))
    image = StretchBands(mean, std)({'img': BANDS.astype(np.float32)})['img']
    wanted = np.clip((BANDS - (mean - 2 * std)) / (4 * std) * 255, 0, 255)
    assert image.dtype == np.float32
    assert np.allclose(image, wanted, atol=1e-3)
    assert np.allclose(StretchBands(mean, std)({'img': mean[None, None]})['img'], 127.5, atol=1e-3)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('image.png', b'', 'LoadBands reads .tif, .tiff and .npy'),
        ('image.npy', b'what', 'no array of numbers, or damaged'),
        ('image.tif', b'what', 'no TIFF, or damaged'),
    ],
)
def test_files_that_are_none(tmp_path, name, content, message):
    pytest.importorskip('tifffile')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        LoadBands()({'img_path': str(tmp_path / name)})


def test_bands_that_are_none(tmp_path):
    np.save(tmp_path / 'image.npy', BANDS)
    with pytest.raises(ValueError, match='has 13 bands, LoadBands is asked for bands='):
        LoadBands(bands=[12, 13])({'img_path': str(tmp_path / 'image.npy')})
    with pytest.raises(ValueError, match='loaded with 3 bands, and shown='):
        LoadBands(bands=[3, 2, 1], shown=[3, 2, 1])({'img_path': str(tmp_path / 'image.npy')})
    with pytest.raises(ValueError, match='shown must be the bands of red, green and blue'):
        LoadBands(shown=[1])
    with pytest.raises(ValueError, match='means of 2 bands, the image has 13'):
        StretchBands([0, 0], [1, 1])({'img': BANDS})
    with pytest.raises(ValueError, match='for each band'):
        StretchBands([0], [0])
