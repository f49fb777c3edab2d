"""Tiny data sets to break, and a way to do what an error message says."""

import json
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config, DictAction

from mmvitdense.datasets.checks import DataError, check_data

NAMES = ('cat', 'dog', 'traffic light')


class CocoData:
    """Four images of 64 x 48 pixels with two objects each, and a Mask R-CNN config that fits them."""

    def __init__(self, root):
        self.root = root
        (root / 'photos').mkdir(parents=True)
        self.content = {'images': [], 'annotations': [], 'categories': []}
        for number, name in enumerate(NAMES, start=1):
            self.content['categories'].append({'id': number, 'name': name})
        for image in range(1, 5):
            cv2.imwrite(str(root / f'photos/{image}.jpg'), np.full((48, 64, 3), 40 * image, np.uint8))
            self.content['images'].append({'id': image, 'file_name': f'{image}.jpg', 'height': 48, 'width': 64})
            for k in range(2):
                x, y, side = 5 + 3 * image, 6 + 10 * k, 12
                self.content['annotations'].append(
                    {
                        'id': len(self.content['annotations']) + 1,
                        'image_id': image,
                        'category_id': (image + k) % 3 + 1,
                        'bbox': [x, y, side, side],
                        'area': side * side,
                        'iscrowd': 0,
                        'segmentation': [[x, y, x + side, y, x + side, y + side, x, y + side]],
                    }
                )
        self.file = root / 'train.json'
        self.write()

    @property
    def annotations(self):
        return self.content['annotations']

    def write(self):
        self.file.write_text(json.dumps(self.content))

    def dataset(self, **changes):
        settings = dict(
            type='CocoDataset',
            data_root=str(self.root),
            ann_file='train.json',
            data_prefix=dict(img='photos/'),
            metainfo=dict(classes=NAMES),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='PackDetInputs'),
            ],
        )
        settings.update(changes)
        return settings

    def config(self, **changes):
        return Config(
            dict(
                default_scope='mmdet',
                train_dataloader=dict(dataset=self.dataset(**changes)),
                val_dataloader=dict(dataset=self.dataset(**{'test_mode': True, **changes})),
                val_evaluator=dict(type='CocoMetric', ann_file=str(self.file), metric=['bbox', 'segm']),
                model=dict(
                    type='MaskRCNN',
                    rpn_head=dict(type='RPNHead'),
                    roi_head=dict(
                        type='StandardRoIHead',
                        bbox_head=dict(type='Shared2FCBBoxHead', num_classes=3),
                        mask_head=dict(type='FCNMaskHead', num_classes=3),
                    ),
                ),
            )
        )


class SegmentationData:
    """Four images of 64 x 48 pixels with label maps of values 0 to 2, and an encoder-decoder config that fits them."""

    def __init__(self, root):
        self.root = root
        for folder in ('photos', 'maps'):
            (root / folder).mkdir(parents=True)
        for image in range(4):
            cv2.imwrite(str(root / f'photos/{image}.jpg'), np.full((48, 64, 3), 40 * image, np.uint8))
            self.write_map(image, np.arange(48)[:, None] // 16 + np.zeros((1, 64)))

    def write_map(self, image, values, dtype=np.uint8):
        cv2.imwrite(str(self.root / f'maps/{image}.png'), np.asarray(values).astype(dtype))

    def change_maps(self, function):
        for image in range(4):
            self.write_map(image, function(cv2.imread(str(self.root / f'maps/{image}.png'), cv2.IMREAD_UNCHANGED)))

    def dataset(self, **changes):
        settings = dict(
            type='BaseSegDataset',
            data_root=str(self.root),
            data_prefix=dict(img_path='photos', seg_map_path='maps'),
            metainfo=dict(classes=('road', 'grass', 'sky')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
        )
        settings.update(changes)
        return settings

    def config(self, num_classes=3, **changes):
        head = dict(type='FCNHead', num_classes=num_classes)
        return Config(
            dict(
                default_scope='mmseg',
                train_dataloader=dict(dataset=self.dataset(**changes)),
                val_dataloader=dict(dataset=self.dataset(**{'test_mode': True, **changes})),
                val_evaluator=dict(type='IoUMetric'),
                model=dict(
                    type='EncoderDecoder',
                    decode_head=head,
                    auxiliary_head=[dict(head)],
                    test_cfg=dict(mode='whole'),
                ),
            )
        )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr('mmvitdense.datasets.checks.image_cache.cache_root', lambda: tmp_path / 'cache')


@pytest.fixture
def coco(tmp_path):
    return CocoData(tmp_path / 'coco')


@pytest.fixture
def segmentation(tmp_path):
    return SegmentationData(tmp_path / 'segmentation')


@pytest.fixture
def refused():
    """Return a function that checks a config, expects an error, and returns its one line."""

    def check(cfg, **options):
        with pytest.raises(DataError) as caught:
            check_data(cfg, **options)
        message = str(caught.value)
        assert '\n' not in message
        return message

    return check


@pytest.fixture
def mended():
    """Return a function that applies the --cfg-options or the metainfo that a message names, and checks again."""

    def mend(cfg, message, folder=None, **options):
        pairs = re.findall(r"((?:train|val|test)_(?:dataloader|evaluator)\S*|model\.\S*)=('[^']*'|\S+)", message)
        assert pairs or 'metainfo=dict(' in message, message
        for key, value in pairs:
            value = value.replace('FOLDER', str(folder)).strip("'")
            cfg.merge_from_dict({key: DictAction._parse_iterable(value)})
        if not pairs:
            line = message[message.index('metainfo=dict(') :]
            line = line[: line.index('))') + 2]
            for split in ('train', 'val'):
                cfg[f'{split}_dataloader'].dataset.metainfo = eval(line.removeprefix('metainfo='))
        check_data(cfg, **options)

    return mend


@pytest.fixture
def log(monkeypatch):
    """Collect what checks log."""
    lines = []
    monkeypatch.setattr(
        'mmvitdense.datasets.checks.messages.print_log', lambda message, logger, level: lines.append((level, message))
    )
    return lines
