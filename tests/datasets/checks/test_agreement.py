"""Options of a segmentor that must agree with one another and with the label maps."""

import logging

import numpy as np
import pytest
from mmengine.config import Config

from mmvitdense.datasets.checks import check_data

HEAD, METRIC = 'model.decode_head.ignore_index', 'val_evaluator.ignore_index'
AUXILIARY = 'model.auxiliary_head.0.ignore_index'


def ignore(cfg, **values):
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in values.items()})
    return cfg


class TestTheIgnoredLabel:
    """200 in half of each map."""

    @pytest.fixture
    def cfg(self, segmentation):
        segmentation.change_maps(lambda values: np.where(np.arange(64) < 30, 200, values))
        cfg = segmentation.config()
        cfg.model.auxiliary_head[0].ignore_index = cfg.model.decode_head.ignore_index = 200
        cfg.val_evaluator.ignore_index = 200
        check_data(cfg)
        return cfg

    @pytest.mark.parametrize('forgotten', [HEAD, METRIC, AUXILIARY])
    def test_one_place_at_its_default(self, cfg, refused, mended, forgotten):
        *parents, name = forgotten.split('.')
        place = cfg
        for parent in parents:
            place = place[int(parent)] if parent.isdigit() else place[parent]
        del place[name]
        message = refused(cfg)
        assert f'{forgotten} is 255' in message
        assert all(key in message for key in (HEAD, METRIC, AUXILIARY)), 'all places are named'
        assert message.endswith(f'(the label maps, once loaded, hold 200); set --cfg-options {forgotten}=200')
        mended(cfg, message)

    def test_heads_in_a_list(self, cfg, refused, mended):
        cfg.model.decode_head = [dict(type='FCNHead', num_classes=3, ignore_index=value) for value in (200, 255)]
        message = refused(cfg)
        assert 'model.decode_head.1.ignore_index=200' in message
        mended(cfg, message)

    def test_padding(self, cfg, refused, mended):
        cfg.model.data_preprocessor = dict(type='SegDataPreProcessor', size=(64, 64))
        cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='RandomRotate', prob=1.0, degree=9))
        message = refused(cfg)
        assert 'model.data_preprocessor.seg_pad_val=200' in message
        assert 'train_dataloader.dataset.pipeline.2.seg_pad_val=200' in message
        mended(cfg, message)
        cfg.model.data_preprocessor.seg_pad_val = 0
        check_data(cfg)

    @pytest.mark.parametrize(
        ('transform', 'option'),
        [
            (dict(type='Pad', size=(64, 64)), 'pad_val.seg'),
            (dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75), 'ignore_index'),
            (dict(type='RandomMosaic', prob=1.0), 'seg_pad_val'),
        ],
    )
    def test_transforms(self, cfg, refused, mended, transform, option):
        cfg.train_dataloader.dataset.pipeline.insert(2, transform)
        message = refused(cfg)
        assert message.endswith(f'set --cfg-options train_dataloader.dataset.pipeline.2.{option}=200')
        mended(cfg, message)

    def test_what_a_loss_ignores_by_itself(self, cfg, refused, mended):
        cfg.model.decode_head.loss_decode = [dict(type='DiceLoss'), dict(type='TverskyLoss')]
        message = refused(cfg)
        assert message.endswith('set --cfg-options model.decode_head.loss_decode.1.ignore_index=200')
        mended(cfg, message)

    def test_what_a_data_set_says_counts_too_though_mmseg_does_not_read_it(self, cfg, refused):
        cfg.train_dataloader.dataset.ignore_index = 255
        assert refused(cfg).endswith('set --cfg-options train_dataloader.dataset.ignore_index=200')


def test_a_label_0_that_becomes_255(segmentation, refused, mended):
    segmentation.change_maps(lambda values: np.where(np.arange(64) < 30, 0, values + 1))
    cfg = segmentation.config(reduce_zero_label=True)
    check_data(cfg)
    for place in (cfg.model.decode_head, cfg.model.auxiliary_head[0], cfg.val_evaluator):
        place.ignore_index = 200
    message = refused(cfg)
    assert 'once loaded, hold 255' in message
    mended(cfg, message)


def test_a_class_that_is_ignored(segmentation, log):
    cfg = segmentation.config()
    for place in (cfg.model.decode_head, cfg.model.auxiliary_head[0], cfg.val_evaluator):
        place.ignore_index = 1
    check_data(cfg)
    assert [line for level, line in log if level == logging.WARNING and "'grass' is ignored" in line]


class TestTheLabelZero:
    def test_a_class_that_would_be_lost(self, segmentation, refused, mended):
        cfg = segmentation.config(reduce_zero_label=True)
        message = refused(cfg)
        assert "the class 'road', which would be lost" in message
        assert "no map has 'sky'" in message
        mended(cfg, message)
        assert cfg.train_dataloader.dataset.reduce_zero_label is False

    @pytest.mark.parametrize('split', ['train', 'val'])
    def test_it_is_judged_by_the_maps_of_all_splits(self, segmentation, split):
        """Some maps may lack the last class, as long as it is somewhere."""
        cfg = segmentation.config(reduce_zero_label=True)
        (segmentation.root / 'few').mkdir()
        segmentation.write_map('../few/0', np.full((48, 64), 3))
        for number in (1, 2, 3):
            segmentation.write_map(f'../few/{number}', np.full((48, 64), 1))
        cfg[f'{split}_dataloader'].dataset.data_prefix.seg_map_path = 'few'
        check_data(cfg, splits=['train'])
        check_data(cfg, splits=['val'])

    def test_all_maps_are_looked_at_before_it_is_said(self, segmentation):
        segmentation.write_map(2, np.full((48, 64), 3))
        check_data(segmentation.config(reduce_zero_label=True), max_maps=2)

    def test_a_few_images_of_public_data_are_no_proof(self, segmentation, log):
        check_data(segmentation.config(num_classes=150, type='ADE20KDataset', metainfo=None))
        (warning, _) = [line for level, line in log if level == logging.WARNING]
        assert "'floor'" in warning
        assert '138 more' in warning
        assert 'names them in metainfo.classes' in warning

    @pytest.mark.parametrize(('offset', 'fits'), [(0, False), (1, True)])
    def test_data_set_and_pipeline_differ(self, segmentation, refused, mended, offset, fits):
        segmentation.change_maps(lambda values: values + offset)
        for said in (True, False):
            cfg = segmentation.config(reduce_zero_label=said)
            for loader in (cfg.train_dataloader, cfg.val_dataloader):
                loader.dataset.pipeline[1].reduce_zero_label = not said
            message = refused(cfg)
            assert f'train_dataloader.dataset.pipeline.1.reduce_zero_label is {not said}' in message
            mended(cfg, message)
            for loader in (cfg.train_dataloader, cfg.val_dataloader):
                assert loader.dataset.reduce_zero_label is loader.dataset.pipeline[1].reduce_zero_label is fits

    def test_splits_that_differ_are_named(self, segmentation, log):
        """Validation maps that happen to lack the last class fit both readings."""
        segmentation.change_maps(lambda values: values + 1)
        (segmentation.root / 'few').mkdir()
        for number in range(4):
            segmentation.write_map(f'../few/{number}', np.arange(64)[None, :] % 3 + np.zeros((48, 1)))
        cfg = segmentation.config()
        cfg.train_dataloader.dataset.reduce_zero_label = True
        cfg.val_dataloader.dataset.data_prefix.seg_map_path = 'few'
        check_data(cfg)
        (warning,) = [line for level, line in log if level == logging.WARNING]
        assert 'train_dataloader.dataset.reduce_zero_label is True and val_dataloader.dataset' in warning

    def test_maps_that_leave_it_open(self, segmentation, refused):
        segmentation.change_maps(lambda values: np.maximum(values, 1))
        cfg = segmentation.config()
        cfg.train_dataloader.dataset.pipeline[1].reduce_zero_label = True
        message = refused(cfg)
        assert (
            'if 0 is a class, set --cfg-options train_dataloader.dataset.pipeline.1.reduce_zero_label=False' in message
        )
        assert 'unlabelled, --cfg-options train_dataloader.dataset.reduce_zero_label=True' in message


def test_classes_that_never_occur_are_named(segmentation, log):
    segmentation.change_maps(lambda values: np.minimum(values, 1))
    check_data(segmentation.config())
    held = ".dataset: no label map holds the classes 'sky' (4 of 4 label maps looked at), so they cannot be "
    warnings = [line for level, line in log if level == logging.WARNING]
    assert warnings == [f'train_dataloader{held}learnt.', f'val_dataloader{held}scored.']
    log.clear()
    segmentation.write_map(3, np.full((48, 64), 2))
    cfg = segmentation.config()
    whole = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[dict(whole), dict(whole)])
    check_data(cfg, splits=['train'])
    assert {level for level, _ in log} == {logging.INFO}


@pytest.mark.parametrize(
    ('palette', 'classes', 'kind', 'fine'),
    [
        ([[0, 0, 0]] * 3, ('road', 'grass', 'sky'), 'BaseSegDataset', True),
        ([], ('road', 'grass', 'sky'), 'BaseSegDataset', True),
        ([[0, 0, 0]] * 2, ('road', 'grass', 'sky'), 'BaseSegDataset', False),
        ([[0, 0, 0]] * 4, ('road', 'grass', 'sky'), 'BaseSegDataset', False),
        ([[0, 0]] * 3, ('road', 'grass', 'sky'), 'BaseSegDataset', False),
        ([0, 0, 0], ('road', 'grass', 'sky'), 'BaseSegDataset', False),
        (None, ('road', 'sidewalk', 'sky'), 'CityscapesDataset', True),
        ([[0, 0, 0]] * 19, ('road', 'sidewalk', 'sky'), 'CityscapesDataset', True),
        ([[0, 0, 0]] * 18, ('road', 'sidewalk', 'sky'), 'CityscapesDataset', False),
    ],
)
def test_palettes(segmentation, refused, palette, classes, kind, fine):
    metainfo = dict(classes=classes) if palette is None else dict(classes=classes, palette=palette)
    cfg = segmentation.config(type=kind, metainfo=metainfo, img_suffix='.jpg', seg_map_suffix='.png')
    if fine:
        check_data(cfg)
    else:
        assert 'metainfo.palette' in refused(cfg)


class TestWeightsOfClasses:
    def test_of_labels(self, segmentation, refused, mended):
        cfg = segmentation.config()
        cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss', class_weight=[2.0] * 3)
        cfg.model.auxiliary_head[0].loss_decode = [dict(type='CrossEntropyLoss', class_weight=[2.0] * 4)]
        message = refused(cfg)
        assert message.endswith('model.auxiliary_head.0.loss_decode.0.class_weight=[2.0,2.0,2.0]')
        mended(cfg, message)

    def test_of_queries(self, segmentation, refused, mended):
        """Of mmseg's Mask2Former, and of ours: a class more, for queries that find nothing."""
        cfg = segmentation.config()
        del cfg.model['auxiliary_head']
        loss = dict(type='mmdet.CrossEntropyLoss', class_weight=[1.0] * 150 + [0.1])
        cfg.model.decode_head = dict(type='mmvitdense.Mask2FormerSegHead', num_classes=150, loss_cls=loss)
        message = refused(cfg)
        assert 'model.decode_head.num_classes=3' in message
        assert message.endswith('model.decode_head.loss_cls.class_weight=[1.0,1.0,1.0,0.1]')
        mended(cfg, message)


def slide(**options):
    return {'mode': 'slide', **options}


@pytest.mark.parametrize(
    ('test_cfg', 'option'),
    [
        (slide(crop_size=48, stride=(32, 32)), 'crop_size="(48,48)"'),
        (slide(stride=(32, 32)), 'crop_size="(512,512)"'),
        (slide(crop_size=(48, 48)), 'stride="(32,32)"'),
        (slide(crop_size=(48, 48), stride=24), 'stride="(24,24)"'),
        (slide(crop_size=(48, 48), stride=(24, 49)), 'stride="(32,32)"'),
        (slide(crop_size=(48, 48), stride=(0, 24)), 'stride="(32,32)"'),
        (slide(crop_size=(48, 48, 3), stride=(24, 24)), 'crop_size="(512,512)"'),
        (dict(), 'mode=whole'),
        (dict(mode='sliding'), 'mode=whole'),
        (None, 'mode=whole'),
    ],
)
def test_windows(segmentation, refused, test_cfg, option):
    cfg = segmentation.config()
    cfg.model.test_cfg = test_cfg
    assert f'--cfg-options model.test_cfg.{option}' in refused(cfg)


def test_windows_that_fit(segmentation, refused, mended):
    cfg = segmentation.config()
    cfg.model.test_cfg = slide(crop_size=(48, 32), stride=[48, 16])
    check_data(cfg)
    even = dict(mode='even_slide', crop_size=(48, 48))
    cfg.model.test_cfg = even
    assert "predicts by mode 'whole' or 'slide' (in windows)" in refused(cfg)
    cfg.model.type = 'mmvitdense.WindowedEncoderDecoder'
    check_data(cfg)
    del cfg.model.test_cfg['crop_size']
    assert 'crop_size="(512,512)"' in refused(cfg)
    cfg = Config(dict(default_scope='mmdet', model=dict(type='MaskRCNN', test_cfg=None)))
    check_data(cfg)


@pytest.mark.parametrize(
    ('transform', 'test_cfg', 'fine'),
    [
        (dict(type='ResizeToMultiple', size_divisor=32), slide(crop_size=(32, 32), stride=(16, 16)), False),
        (dict(type='ResizeToMultiple', size_divisor=32), dict(mode='whole'), True),
        (dict(type='Pad', size=(64, 64)), dict(mode='whole'), False),
        (dict(type='Resize', scale=(64, 64)), slide(crop_size=(32, 32), stride=(16, 16)), True),
    ],
)
def test_mask2former_of_mmseg(segmentation, refused, mended, transform, test_cfg, fine):
    cfg = segmentation.config()
    loss = dict(type='mmdet.CrossEntropyLoss', class_weight=[1.0, 1.0, 1.0, 0.1])
    cfg.model = dict(
        type='EncoderDecoder',
        decode_head=dict(type='Mask2FormerHead', num_classes=3, loss_cls=loss),
        test_cfg=test_cfg,
    )
    cfg.val_dataloader.dataset.pipeline.insert(1, transform)
    if fine:
        check_data(cfg)
        return
    message = refused(cfg)
    assert 'model.decode_head.type=mmvitdense.Mask2FormerSegHead' in message
    cfg.model.decode_head.type = 'mmvitdense.Mask2FormerSegHead'
    check_data(cfg)
    cfg.model.decode_head.type = 'Mask2FormerHead'
    cfg.val_dataloader.dataset.pipeline[-1].meta_keys = ('ori_shape', 'img_shape')
    check_data(cfg)
