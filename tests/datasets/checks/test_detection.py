"""COCO data that was broken in one way each: the error names it, and doing what it says mends it."""

import logging

import cv2
import numpy as np
import pytest

from mmvitdense.datasets.checks import check_data
from mmvitdense.datasets.checks.coco_file import read_coco

TRAIN = 'train_dataloader.dataset'


def test_healthy_data_passes(coco, log):
    check_data(coco.config())
    assert [level for level, _ in log] == [logging.INFO] * 2
    assert '4 images, 8 objects of 3 classes' in log[0][1]


def test_shapes_pass(shapes_root, coco, log):
    cfg = coco.config(metainfo=dict(classes=('circle', 'square', 'triangle', 'star', 'ring')))
    for split, name in (('train', 'training'), ('val', 'validation')):
        cfg[f'{split}_dataloader'].dataset.merge(
            dict(
                data_root=str(shapes_root),
                ann_file=f'annotations/instances_{name}.json',
                data_prefix=dict(img=f'images/{name}/'),
            )
        )
    cfg.val_evaluator.ann_file = str(shapes_root / 'annotations/instances_validation.json')
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 5
    check_data(cfg)
    assert not [line for level, line in log if level > logging.INFO]


def test_missing_root_names_every_option_to_change(coco, refused, mended):
    cfg = coco.config(data_root='/no/such/place/')
    cfg.val_evaluator.ann_file = '/no/such/place/train.json'
    message = refused(cfg)
    assert f'{TRAIN}.data_root' in message
    assert "'/no/such/place/'" in message
    mended(cfg, message, folder=coco.root)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'ann_file': 'nowhere.json'}, ['ann_file', 'nowhere.json', "'train.json'"]),
        ({'ann_file': ''}, ['ann_file is not set']),
        ({'data_prefix': dict(img='fotos/')}, ['data_prefix.img', 'fotos', "'photos'"]),
        ({'data_prefix': dict(img_path='photos/')}, ["no folder 'img'", "'img_path'"]),
    ],
)
def test_missing_paths(coco, refused, changes, words):
    message = refused(coco.config(**changes))
    assert all(word in message for word in [f'--cfg-options {TRAIN}.', *words]), message


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('{"images": [', ['not a whole JSON file']),
        ('', ['not a whole JSON file']),
        ('[]', ['holds a list']),
        ('{"categories": [], "annotations": []}', ["no 'images'", "'categories'"]),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', ['has no images']),
        ('{"images": [{"id": 1, "file_name": "1.jpg", "height": 48}]}', ["images[0] has no 'width'"]),
        ('{"images": [{"id": 1, "file_name": "1.jpg", "height": 4, "width": 4}]}', ["no 'categories'"]),
        ('{"images": {"id": 1}}', ["'images' must be a list"]),
    ],
)
def test_broken_files(coco, refused, text, words):
    coco.file.write_text(text)
    message = refused(coco.config())
    assert all(word in message for word in [str(coco.file), *words]), message


@pytest.mark.parametrize('key', ['id', 'image_id', 'category_id', 'bbox', 'area'])
def test_annotations_without_a_key(coco, refused, key):
    del coco.annotations[3][key]
    coco.write()
    assert f"annotations[3] has no '{key}'" in refused(coco.config())


@pytest.mark.parametrize(
    ('kind', 'key', 'value'),
    [
        ('annotations', 'bbox', [1, 2, 3]),
        ('annotations', 'bbox', None),
        ('annotations', 'bbox', [1, 2, None, 4]),
        ('annotations', 'bbox', [1, 2, '3', 4]),
        ('annotations', 'bbox', [1, 2, float('nan'), 4]),
        ('annotations', 'bbox', [1, 2, 10**400, 4]),
        ('annotations', 'area', 'large'),
        ('annotations', 'area', '144'),
        ('annotations', 'area', float('inf')),
        ('annotations', 'iscrowd', '0'),
        ('annotations', 'id', '3'),
        ('annotations', 'category_id', '1'),
        ('annotations', 'category_id', [1]),
        ('annotations', 'image_id', None),
        ('images', 'width', None),
        ('images', 'width', '64'),
        ('images', 'height', 0),
        ('images', 'file_name', 3),
        ('categories', 'id', '1'),
        ('categories', 'name', ['cat']),
    ],
)
def test_values_that_are_not_what_they_should_be(coco, refused, kind, key, value):
    """NumPy would read '64' as 64, and `bool('0')` is True."""
    coco.content[kind][2][key] = value
    coco.write()
    message = refused(coco.config())
    assert f"{coco.file}: '{key}' must be " in message
    assert f'in {kind} ({kind}[2]' in message if key == 'id' else f'in {kind} (id 3' in message


def test_ids_of_images_may_be_texts_and_numbers_may_be_whole_floats(coco):
    for image in coco.content['images']:
        image['id'] = f'image {image["id"]}'
    for annotation in coco.annotations:
        annotation.update(image_id=f'image {annotation["image_id"]}', category_id=float(annotation['category_id']))
    coco.write()
    check_data(coco.config())


@pytest.mark.parametrize(
    'classes',
    [
        ('Cat', 'Dog', 'Traffic Light'),
        ('cats', 'dogs', 'traffic_lights'),
        ('person', 'bicycle', 'car'),
        ('dog', 'cat', 'traffic light'),
        'cat, dog, traffic light',
    ],
)
def test_class_names(coco, refused, mended, classes):
    cfg = coco.config(metainfo=dict(classes=classes))
    message = refused(cfg)
    assert f'{TRAIN}.metainfo.classes' in message
    assert "metainfo=dict(classes=('cat', 'dog', 'traffic light'))" in message
    mended(cfg, message)


def test_a_near_namesake_is_preferred_to_all_categories(coco, refused):
    cfg = coco.config(metainfo=dict(classes=('cat', 'Traffic-Lights')))
    assert "metainfo=dict(classes=('cat', 'traffic light'))" in refused(cfg)


def test_one_name_without_its_comma(coco, refused):
    message = refused(coco.config(metainfo=dict(classes='cat')))
    assert "the text 'cat'" in message
    assert "classes=('cat',)" in message


def test_default_classes_of_the_type(coco, refused, mended):
    coco.content['categories'].insert(0, {'id': 9, 'name': 'everything'})
    coco.write()
    cfg = coco.config()
    for split in ('train', 'val'):
        del cfg[f'{split}_dataloader'].dataset['metainfo']
    message = refused(cfg)
    assert 'default of its type, CocoDataset' in message
    assert 'everything' not in message.partition('write')[2], 'a category without objects is not suggested'
    mended(cfg, message)


def test_classes_in_a_file(coco, tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('cat\ndog\ntraffic light\n')
    check_data(coco.config(metainfo=dict(classes=str(names))))


@pytest.mark.parametrize('key', ['CLASSES', 'class_names', 'class'])
def test_metainfo_under_another_key(coco, refused, key):
    message = refused(coco.config(metainfo={key: ('cat', 'dog', 'traffic light')}))
    assert repr(key) in message
    assert "metainfo=dict(classes=('cat', 'dog', 'traffic light'))" in message


def test_repeated_names(coco, refused):
    assert 'more than once' in refused(coco.config(metainfo=dict(classes=('cat', 'cat', 'dog'))))
    coco.content['categories'].append({'id': 4, 'name': 'dog'})
    coco.write()
    assert "more than one category named 'dog'" in refused(coco.config())


def test_mmdet_numbers_classes_as_the_file_does(coco):
    """The premise of the check of the order."""
    from mmdet.datasets import CocoDataset

    settings = coco.dataset(metainfo=dict(classes=('traffic light', 'dog', 'cat')), pipeline=[])
    del settings['type']
    labels = [item['bbox_label'] for item in CocoDataset(**settings)[0]['instances']]
    assert labels == [item['category_id'] - 1 for item in coco.annotations[:2]]


def test_a_selection_of_classes_is_allowed(coco):
    cfg = coco.config(metainfo=dict(classes=('cat', 'traffic light')))
    cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 2
    check_data(cfg)


@pytest.mark.parametrize(('shift', 'words'), [(-1, '1 too low'), (1, '1 too high'), (50, '')])
def test_shifted_ids(coco, refused, shift, words):
    for annotation in coco.annotations:
        annotation['category_id'] += shift
    coco.write()
    message = refused(coco.config())
    assert "'categories' defines 1, 2, 3" in message
    assert words in message
    assert ('too' in message) == bool(words)


def test_unknown_images(coco, refused):
    coco.annotations[0]['image_id'] = 77
    coco.write()
    assert '1 annotations have an image_id that no image has, 77' in refused(coco.config())
    for annotation in coco.annotations:
        annotation['image_id'] = '2'
    coco.write()
    assert 'the one is text, the other a number' in refused(coco.config())


@pytest.mark.parametrize('kind', ['images', 'annotations', 'categories'])
def test_repeated_ids(coco, refused, kind):
    coco.content[kind][1]['id'] = coco.content[kind][0]['id']
    coco.write()
    assert f'several {kind} share the ids 1' in refused(coco.config())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'iscrowd': 1}, "'iscrowd': 1"),
        ({'ignore': 1}, "marked 'ignore'"),
        ({'area': 0}, "'area' of all is 0"),
        ({'bbox': [0.2, 0.3, 0.1, 0.2]}, '0 to 1'),
        ({'bbox': [5, 5, 0, 30]}, 'less than a pixel'),
        ({'bbox': [500, 5, 30, 30]}, 'outside'),
    ],
)
def test_no_object_is_left(coco, refused, change, words):
    for annotation in coco.annotations:
        annotation.update(change)
    coco.write()
    message = refused(coco.config())
    assert 'of 8 objects' in message
    assert words in message


def test_no_annotations(coco, refused):
    coco.content['annotations'] = []
    coco.write()
    assert '4 images but no annotations' in refused(coco.config())


def test_no_object_of_the_classes(coco, refused):
    coco.content['categories'].append({'id': 4, 'name': 'bird'})
    coco.write()
    cfg = coco.config(metainfo=dict(classes=('bird',)))
    assert 'none is of the classes' in refused(cfg)


def test_filter_drops_everything(coco, refused, mended):
    cfg = coco.config(filter_cfg=dict(filter_empty_gt=True, min_size=50))
    message = refused(cfg)
    assert 'min_size=50' in message
    assert 'the largest has 48' in message
    mended(cfg, message)


def test_usable_objects_are_those_that_mmdet_keeps(coco):
    """Random boxes, some of them degenerate, against mmdet's own loading."""
    from mmdet.datasets import CocoDataset

    rng = np.random.default_rng(0)
    for number in range(400):
        x, y = rng.uniform(-20, 80, 2).round(1)
        width, height = rng.choice([0, 0.5, 1, 7.3, 60], 2)
        coco.annotations.append(
            dict(
                id=100 + number,
                image_id=int(rng.integers(1, 5)),
                category_id=int(rng.integers(1, 4)),
                bbox=[x, y, width, height],
                area=float(rng.choice([0, 5.0])),
                ignore=int(rng.random() < 0.1),
            )
        )
    coco.write()
    file = read_coco(str(coco.file))
    dataset = CocoDataset(
        ann_file=str(coco.file), data_prefix=dict(img=''), metainfo=dict(classes=('cat', 'dog', 'traffic light'))
    )
    kept = [len(dataset.get_data_info(index)['instances']) for index in range(4)]
    assert kept == np.bincount(file.image_index[file.usable()], minlength=4).tolist()
    assert 8 < sum(kept) < 350


def test_dropped_boxes_are_warned_of(coco, log):
    coco.annotations[0]['bbox'] = [5, 5, 0, 10]
    coco.write()
    check_data(coco.config(), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and '1 of 8 objects' in line]


def test_corners_in_place_of_sizes(coco, refused, log):
    for annotation in coco.annotations:
        x, y, width, height = annotation['bbox']
        annotation['bbox'] = [x + 20, y + 14, x + 20 + width, y + 14 + height]
    coco.write()
    assert 'look like corners' in refused(coco.config())
    for annotation in coco.annotations:
        annotation['bbox'] = [10, 10, 20, 20]
    for annotation in coco.annotations[:2]:
        annotation['bbox'] = [30, 20, 50, 40]
    coco.write()
    check_data(coco.config(), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and 'look like corners' in line]


@pytest.mark.parametrize(
    ('box', 'words'), [([100, 100, 40, 30], 'made smaller'), ([-60, 5, 70, 20], '(-60, 5, 70, 20)')]
)
def test_boxes_that_all_reach_far_out_of_their_images(coco, refused, log, box, words):
    coco.annotations[0]['bbox'] = box
    coco.write()
    check_data(coco.config(), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and '1 of 8 boxes' in line]
    for annotation in coco.annotations[1:]:
        annotation['bbox'] = [20, 10, 60, 30]
    coco.write()
    message = refused(coco.config())
    assert '8 of 8 boxes' in message
    assert 'annotation 1 (1.jpg)' in message
    assert words in message


def test_rle_needs_bitmaps(coco, refused):
    for annotation in coco.annotations:
        annotation['segmentation'] = {'size': [48, 64], 'counts': [1, 3070, 1]}
    coco.write()
    cfg = coco.config()
    check_data(cfg)
    cfg.train_dataloader.dataset.pipeline[1].poly2mask = False
    assert 'poly2mask=True' in refused(cfg)


def test_missing_images(coco, refused):
    (coco.root / 'photos/3.jpg').unlink()
    message = refused(coco.config())
    assert '1 of all 4 images' in message
    assert "'3.jpg'" in message


def test_file_names_that_repeat_the_folder(coco, refused, mended):
    for image in coco.content['images']:
        image['file_name'] = f'photos/{image["file_name"]}'
    coco.write()
    cfg = coco.config()
    message = refused(cfg)
    assert f'{TRAIN}.data_prefix.img=.' in message
    mended(cfg, message, splits=['train'])


def test_images_of_another_size(coco, refused, log):
    cv2.imwrite(str(coco.root / 'photos/2.jpg'), np.zeros((64, 48, 3), np.uint8))
    check_data(coco.config(), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and '2.jpg (id 2) is 48x64, stated 64x48' in line]
    coco.annotations[2]['segmentation'] = {'size': [48, 64], 'counts': [1, 3070, 1]}
    coco.write()
    assert 'and so have its RLE masks' in refused(coco.config())


def test_several_entries_of_one_file(coco, log):
    for image in coco.content['images'][1:]:
        image['file_name'] = '2.jpg'
    coco.write()
    check_data(coco.config(), splits=['train'])
    assert [line for level, line in log if level == logging.WARNING and "3 images have the file name '2.jpg'" in line]


def test_a_turned_photograph_has_the_size_that_is_loaded(coco, log):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    path = str(coco.root / 'photos/2.jpg')
    Image.fromarray(np.zeros((64, 48, 3), np.uint8)).save(path, exif=exif)
    assert cv2.imread(path).shape[:2] == (48, 64)
    check_data(coco.config(), splits=['train'])
    assert not [line for level, line in log if level == logging.WARNING]


class TestWhatIsChecked:
    @pytest.mark.parametrize(
        ('wrap', 'key'),
        [
            (lambda inner: dict(type='RepeatDataset', times=2, dataset=inner), 'dataset.dataset'),
            (lambda inner: dict(type='ClassBalancedDataset', oversample_thr=0.1, dataset=inner), 'dataset.dataset'),
            (lambda inner: dict(type='ConcatDataset', datasets=[inner]), 'dataset.datasets.0'),
            (
                lambda inner: dict(
                    type='MultiImageMixDataset', pipeline=[], dataset=dict(type='RepeatDataset', dataset=inner)
                ),
                'dataset.dataset.dataset',
            ),
        ],
    )
    def test_wrappers(self, coco, refused, mended, wrap, key):
        cfg = coco.config()
        cfg.train_dataloader.dataset = wrap(coco.dataset(data_root='nowhere'))
        message = refused(cfg)
        assert f'train_dataloader.{key}.data_root=FOLDER' in message
        mended(cfg, message, folder=coco.root)

    def test_scopes(self, coco, refused):
        cfg = coco.config(type='mmdet.CocoDataset', ann_file='nowhere.json')
        cfg.default_scope = 'mmseg'
        assert 'nowhere.json' in refused(cfg)
        cfg = coco.config(_scope_='mmdet', ann_file='nowhere.json')
        cfg.default_scope = 'mmengine'
        assert 'nowhere.json' in refused(cfg)

    def test_unknown_types_are_skipped(self, coco, log):
        cfg = coco.config(type='VOCDataset', ann_file='nowhere.txt')
        check_data(cfg)
        cfg = coco.config(type='NoSuchDataset', ann_file='nowhere.txt')
        check_data(cfg)
        assert [line.partition(': ')[2] for level, line in log] == [
            'not checked, there are no checks for VOCDataset.',
            'not checked, there are no checks for VOCDataset.',
            'not checked, there are no checks for NoSuchDataset.',
            'not checked, there are no checks for NoSuchDataset.',
        ]

    @pytest.mark.parametrize('changes', [{'data_root': 's3://bucket/coco/'}, {'backend_args': dict(backend='petrel')}])
    def test_remote_data_is_skipped(self, coco, log, changes):
        check_data(coco.config(ann_file='nowhere.json', **changes))
        assert all('remote storage' in line for _, line in log)

    def test_splits(self, coco, refused):
        cfg = coco.config()
        cfg.test_dataloader = dict(dataset=coco.dataset(ann_file='nowhere.json', test_mode=True))
        cfg.test_evaluator = cfg.val_evaluator
        check_data(cfg)
        assert 'test_dataloader' in refused(cfg, splits=['test'])

    def test_the_same_loader_is_checked_once(self, coco, log):
        cfg = coco.config()
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
        check_data(cfg, splits=['train', 'val', 'test'])
        assert len(log) == 2


def test_a_file_that_lacks_categories_without_objects(coco, refused):
    """To name fewer classes would not fit the heads, so the message must not ask for it."""
    del coco.content['categories'][-1]
    coco.content['annotations'] = [item for item in coco.annotations if item['category_id'] != 3]
    coco.write()
    message = refused(coco.config())
    assert "names 'traffic light', which" in message
    assert "add them to its 'categories'" in message
    assert 'metainfo=dict' not in message
    coco.content['categories'].append({'id': 3, 'name': 'traffic light'})
    coco.write()
    check_data(coco.config())
