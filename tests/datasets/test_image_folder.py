"""Folders of images without annotations."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmvitdense.datasets.checks import DataError
from mmvitdense.registry import DATASETS

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmvitdense.PackImage')]


def build(**options):
    pytest.importorskip('mmseg')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dict(type='mmvitdense.ImageFolder', pipeline=PIPELINE, **options))


def test_images_of_all_folders_below(tmp_path):
    """Whatever the case of the suffix, as ImageNet's; other files are passed over."""
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    for name in ('train/n02/b.JPEG', 'train/n01/a.png', 'train/c.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode('.png', image)[1].tobytes())
    (tmp_path / 'train/list.txt').write_text('a')
    data = build(data_root=str(tmp_path), data_prefix={'img_path': 'train'})
    assert [info['img_path'].rpartition('/')[2] for info in map(data.get_data_info, range(3))] == [
        'c.png',
        'a.png',
        'b.JPEG',
    ]
    assert len(data) == 3
    sample = data[1]
    assert np.array_equal(sample['inputs'].numpy(), image.transpose(2, 0, 1))
    assert sample['data_samples'].img_path.endswith('n01/a.png')
    assert sample['data_samples'].ori_shape == (6, 9)
    with pytest.raises(DataError, match='no images in .* end with .gif'):
        build(data_root=str(tmp_path), suffixes=('.gif',))


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match='There is no folder .*nothing: give one with images'):
        build(data_root=str(tmp_path), data_prefix={'img_path': 'nothing'})
