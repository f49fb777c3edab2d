"""Segmentation data that was broken in one way each: the error names it, and doing what it says mends it."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope

from mmvitdense.datasets.checks import check_data
from mmvitdense.datasets.checks.messages import DataError

TRAIN = 'train_dataloader.dataset'


def test_healthy_data_passes(segmentation, log):
    check_data(segmentation.config())
    assert [level for level, _ in log] == [logging.INFO] * 2
    assert '4 images, 4 of 4 label maps looked at, 3 classes' in log[0][1]


def test_images_of_bands_and_names_that_differ_in_a_part(segmentation, log, refused):
    """Images of two bands as arrays; the list names the label maps, of which 0 is no class."""
    for image in range(4):
        (segmentation.root / f'maps/{image}.png').rename(segmentation.root / f'maps/a_dfc_{image}.png')
        np.save(segmentation.root / f'photos/a_s1_{image}.npy', np.zeros((48, 64, 2), np.float32))
    (segmentation.root / 'list.csv').write_text('a_dfc_0\na_dfc_1\n')
    loaders = [dict(type='mmvitdense.LoadBands'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    given = dict(name_parts=dict(img_path='s1', seg_map_path='dfc'), img_suffix='.npy', ann_file='list.csv')
    given |= dict(type='mmvitdense.DFC2020Dataset', metainfo=dict(classes=('forest', 'shrubland')), pipeline=loaders)
    cfg = segmentation.config(num_classes=2, **given)
    check_data(cfg)
    assert '2 images, 2 of 2 label maps looked at, 2 classes' in log[0][1]
    with DefaultScope.overwrite_default_scope('mmseg'):
        item = DATASETS.build(cfg.train_dataloader.dataset)[1]
    assert item['inputs'].shape == (2, 48, 64)
    assert Path(item['data_samples'].img_path).name == 'a_s1_1.npy'
    assert item['data_samples'].gt_sem_seg.data.unique().tolist() == [0, 1, 255]
    np.save(segmentation.root / 'photos/a_s1_1.npy', np.zeros((9, 9, 2), np.float32))
    assert 'a_s1_1.npy has 9x9 pixels and its label map' in refused(cfg)
    (segmentation.root / 'photos/a_s1_0.npy').unlink()
    assert "'a_s1_0.npy' for one" in refused(cfg)


def test_shapes_pass(shapes_root, segmentation):
    cfg = segmentation.config(
        num_classes=6,
        data_root=str(shapes_root),
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        metainfo=dict(classes=('background', 'circle', 'square', 'triangle', 'star', 'ring')),
    )
    check_data(cfg)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'data_root': '/no/such/place'}, ['data_root', '/no/such/place']),
        ({'data_prefix': dict(img_path='fotos', seg_map_path='maps')}, ['data_prefix.img_path', 'fotos', "'photos'"]),
        ({'data_prefix': dict(img_path='photos', seg_map_path='map')}, ['data_prefix.seg_map_path', "'maps'"]),
        ({'data_prefix': dict(img_path='photos')}, ["no folder 'seg_map_path'"]),
        ({'ann_file': 'splits/train.txt'}, ['ann_file', 'splits/train.txt']),
    ],
)
def test_missing_paths(segmentation, refused, changes, words):
    message = refused(segmentation.config(**changes))
    assert all(word in message for word in [TRAIN, '--cfg-options', *words]), message


def test_suffixes(segmentation, refused):
    message = refused(segmentation.config(img_suffix='.jpeg'))
    assert "ends in '.jpeg', but 4 with '.jpg'" in message
    assert f'{TRAIN}.img_suffix=' in message
    message = refused(segmentation.config(seg_map_suffix='_labels.png'))
    assert "lacks '0_labels.png'" in message
    assert "4 with '.png'" in message
    assert f'{TRAIN}.seg_map_suffix=' in message


def test_an_image_without_map(segmentation, refused):
    (segmentation.root / 'maps/2.png').unlink()
    message = refused(segmentation.config())
    assert '1 of 4 images have no label map' in message
    assert "'2.png'" in message


def test_maps_are_not_needed_where_none_are_loaded(segmentation, refused):
    (segmentation.root / 'maps/2.png').unlink()
    cfg = segmentation.config(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')])
    assert 'val_evaluator compares' in refused(cfg, splits=['val'])
    assert 'training compares' in refused(cfg, splits=['train'])
    cfg.val_evaluator.format_only = True
    check_data(cfg, splits=['val'])


def test_a_filter_that_filters_nothing_is_named(segmentation, log):
    check_data(segmentation.config(filter_cfg=dict(min_size=32)), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and 'filter_cfg: not used' in line]


def test_images_listed_in_a_file(segmentation, refused):
    names = segmentation.root / 'train.txt'
    cfg = segmentation.config(ann_file='train.txt')
    names.write_text('0\n3\n')
    (segmentation.root / 'maps/2.png').unlink()
    check_data(cfg)
    names.write_text('0\n7\n')
    message = refused(cfg)
    assert '1 of the 2 images' in message
    assert "'7.jpg'" in message
    names.write_text('0.jpg\n')
    assert "'0.jpg.jpg'" in refused(cfg)
    names.write_text('')
    assert 'is empty' in refused(cfg)


def test_images_in_subfolders(segmentation):
    for folder, suffix in (('photos', 'jpg'), ('maps', 'png')):
        (segmentation.root / folder / 'town').mkdir()
        (segmentation.root / f'{folder}/2.{suffix}').rename(segmentation.root / f'{folder}/town/2.{suffix}')
    check_data(segmentation.config())
    (segmentation.root / 'maps/town/2.png').unlink()
    with pytest.raises(DataError, match='town/2.png'):
        check_data(segmentation.config())


def test_values_beyond_the_classes(segmentation, refused):
    segmentation.write_map(2, np.where(np.arange(64) < 3, 7, np.zeros((48, 1))))
    message = refused(segmentation.config())
    assert 'label values 7 occur (4 of 4 label maps looked at)' in message
    assert 'maps/2.png' in message
    assert 'only values up to 2' in message


def test_labels_from_one(segmentation, refused, mended):
    segmentation.change_maps(lambda values: values + 1)
    cfg = segmentation.config()
    message = refused(cfg)
    assert 'start at 1' in message
    cfg.merge_from_dict({'val_dataloader.dataset.reduce_zero_label': True})
    mended(cfg, message)


def test_a_background_that_no_class_names(segmentation, refused):
    segmentation.change_maps(lambda values: np.where(np.arange(64) < 30, 0, values + 1))
    message = refused(segmentation.config())
    assert 'name a class for each value' in message
    assert f'if 0 stands for unlabelled, set --cfg-options {TRAIN}.reduce_zero_label=True' in message


def test_ignored_pixels_are_allowed(segmentation):
    segmentation.change_maps(lambda values: np.where(np.arange(64) < 30, 255, values))
    check_data(segmentation.config())


def test_another_ignore_index(segmentation, refused):
    segmentation.change_maps(lambda values: np.where(np.arange(64) < 30, 99, values))
    cfg = segmentation.config()
    assert '99' in refused(cfg)
    for place in (cfg.model.decode_head, cfg.model.auxiliary_head[0], cfg.val_evaluator):
        place.ignore_index = 99
    check_data(cfg)


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('kind', ['own', 'selected'])
def test_allowed_values_are_those_that_mmseg_loads_as_classes(segmentation, reduce_zero_label, kind):
    """Every value 0 to 255, loaded by mmseg itself: it is a class, ignored, or refused by the check."""
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    class FiveClasses(BaseSegDataset):
        METAINFO = dict(classes=('a', 'b', 'c', 'd', 'e'), palette=[[0, 0, 0]] * 5)

    with_classes = {
        'own': dict(type='BaseSegDataset', metainfo=dict(classes=('a', 'b', 'c'))),
        'selected': dict(type='FiveClasses', metainfo=dict(classes=('b', 'd', 'e'))),
    }[kind]
    DATASETS.register_module(module=FiveClasses, force=True)
    settings = segmentation.dataset(reduce_zero_label=reduce_zero_label, **with_classes)
    settings['pipeline'] = settings['pipeline'][:2]
    segmentation.write_map(0, np.arange(256).reshape(16, 16))
    cv2.imwrite(str(segmentation.root / 'photos/0.jpg'), np.zeros((16, 16, 3), np.uint8))
    with DefaultScope.overwrite_default_scope('mmseg'):
        loaded = DATASETS.build(settings)[0]['gt_seg_map'].ravel()
    fine = (loaded < 3) | (loaded == 255)
    # Without the last class among the others, 0 would be taken for a class that is lost.
    last = {'own': 3, 'selected': 5}[kind] if reduce_zero_label else 1
    segmentation.write_map(1, np.full((48, 64), last))
    for value in [*range(8), 100, 253, 254, 255]:
        segmentation.write_map(0, np.where(np.arange(256) < 200, 1, value).reshape(16, 16))
        cfg = segmentation.config(reduce_zero_label=reduce_zero_label, **with_classes)
        if fine[value]:
            check_data(cfg)
        else:
            with pytest.raises(DataError, match=f'label values {value} '):
                check_data(cfg)


def test_pipeline_and_size(segmentation, refused):
    segmentation.write_map(1, np.zeros((24, 64)))
    message = refused(segmentation.config())
    assert 'photos/1.jpg has 64x48 pixels' in message
    assert 'maps/1.png 64x24' in message


def test_colour_pictures(segmentation, refused):
    segmentation.write_map(3, np.zeros((48, 64, 3)))
    assert 'colour picture (RGB)' in refused(segmentation.config())


def test_palette_pictures_hold_indices(segmentation):
    from PIL import Image

    picture = Image.fromarray(np.full((48, 64), 2, np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(segmentation.root / 'maps/1.png')
    check_data(segmentation.config())


def test_sixteen_bits(segmentation, refused):
    segmentation.write_map(0, np.full((48, 64), 2), np.uint16)
    check_data(segmentation.config())
    segmentation.write_map(0, np.full((48, 64), 258), np.uint16)
    message = refused(segmentation.config())
    assert '258' in message
    assert '8-bit' in message


def test_a_map_that_is_no_picture(segmentation, refused):
    (segmentation.root / 'maps/1.png').write_text('nothing')
    assert 'maps/1.png cannot be read as a label map' in refused(segmentation.config())


def test_masks_of_0_and_255(segmentation, refused):
    segmentation.change_maps(lambda values: np.where(values > 0, 255, 0))
    assert 'if 255 marks a class, write 1 instead' in refused(segmentation.config())


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_everything_ignored(segmentation, refused, reduce_zero_label):
    segmentation.change_maps(lambda values: np.full_like(values, 0 if reduce_zero_label else 255))
    message = refused(segmentation.config(reduce_zero_label=reduce_zero_label))
    assert 'every pixel is ignored' in message
    assert ('set reduce_zero_label=False' in message) == reduce_zero_label


def test_no_classes(segmentation, refused):
    cfg = segmentation.config(metainfo=None)
    check_data(cfg, splits=['train'])
    assert 'val_dataloader.dataset has no class names' in refused(cfg, splits=['val'])
    segmentation.write_map(0, np.full((48, 64), 3))
    assert 'only values up to 2' in refused(cfg, splits=['train']), 'the head says how many there are'


def test_classes_that_the_type_does_not_have(segmentation, refused, mended):
    cfg = segmentation.config(type='CityscapesDataset')
    message = refused(cfg)
    assert "names 'grass', which CityscapesDataset does not have" in message
    assert f'{TRAIN}.type=mmseg.BaseSegDataset' in message
    cfg.val_dataloader.dataset.type = 'mmseg.BaseSegDataset'
    mended(cfg, message)


def test_defaults_of_the_type_are_used(segmentation, refused):
    """ADE20KDataset has 150 classes and reduce_zero_label=True without being told."""
    cfg = segmentation.config(num_classes=150, type='ADE20KDataset', metainfo=None)
    segmentation.write_map(0, np.full((48, 64), 150))
    check_data(cfg)
    segmentation.write_map(0, np.full((48, 64), 151))
    assert 'label values 151' in refused(cfg)


def test_at_most_so_many_maps(segmentation, log):
    check_data(segmentation.config(), splits=['train'], max_maps=2)
    assert '2 of 4 label maps looked at' in log[0][1]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_an_image_that_cannot_be_read(segmentation, refused, split):
    whole = segmentation.root / 'photos/2.jpg'
    whole.write_bytes(whole.read_bytes()[:-300])
    message = refused(segmentation.config(), splits=[split])
    assert f'{split}_dataloader.dataset: 1 of 4 images cannot be read' in message
    assert f'{whole}: it is cut short' in message
    assert ('--max-bad-images' in message) == (split == 'train')
    if split == 'train':
        check_data(segmentation.config(), splits=[split], bad_images=1)


def test_every_map_and_image(segmentation, log, capsys):
    check_data(segmentation.config(), splits=['train'], max_maps=2, every_image=True)
    assert '4 of 4 label maps looked at' in log[0][1]
    assert capsys.readouterr().err == ''  # a bar is for terminals
