"""The number of classes that the heads of a model predict, against that of the data."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmvitdense.datasets.checks import DataError, check_data


def test_detection_heads(coco, refused, mended):
    cfg = coco.config()
    cfg.model.roi_head.bbox_head = [dict(type='Shared2FCBBoxHead', num_classes=n) for n in (3, 80, 4)]
    cfg.model.roi_head.mask_head.num_classes = 80
    message = refused(cfg)
    assert 'has 3 classes' in message
    for key in ('bbox_head.1', 'bbox_head.2', 'mask_head'):
        assert f'model.roi_head.{key}.num_classes=3' in message
    assert 'bbox_head.0' not in message
    mended(cfg, message)


def test_the_default_of_a_head_counts(coco, refused, mended):
    cfg = coco.config()
    del cfg.model.roi_head.bbox_head['num_classes']
    message = refused(cfg)
    assert 'model.roi_head.bbox_head.num_classes is 80' in message
    mended(cfg, message)


@pytest.mark.parametrize(
    'changes',
    [
        {'model.rpn_head.num_classes': 1},
        {'model.roi_head.semantic_head': dict(type='FusedSemanticHead', num_classes=183)},
        {'model.roi_head.mask_head': None},
        {'model.detector': dict(bbox_head=dict(type='NoSuchHead'))},
    ],
)
def test_what_counts_something_else(coco, changes):
    cfg = coco.config()
    cfg.merge_from_dict({'val_evaluator.metric': 'bbox', **changes})
    check_data(cfg, splits=['val'])


def test_a_wrapped_detector(coco, refused):
    cfg = coco.config()
    cfg.model = dict(type='SemiBase', detector=cfg.model)
    cfg.model.detector.roi_head.bbox_head.num_classes = 7
    assert 'model.detector.roi_head.bbox_head.num_classes is 7' in refused(cfg)


def test_instance_queries(coco, refused, mended):
    cfg = coco.config()
    cfg.model = dict(
        type='Mask2Former',
        panoptic_head=dict(type='Mask2FormerHead', num_things_classes=3, num_stuff_classes=0),
        panoptic_fusion_head=dict(type='MaskFormerFusionHead', num_things_classes=3, num_stuff_classes=0),
    )
    message = refused(cfg)
    assert 'model.panoptic_head.loss_cls.class_weight is a list of 134' in message
    mended(cfg, message)
    assert cfg.model.panoptic_head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.1]
    assert cfg.model.panoptic_head.loss_cls.type == 'CrossEntropyLoss', 'the whole default, as nothing is merged'
    cfg.model.panoptic_head.num_things_classes = 80
    message = refused(cfg)
    assert 'model.panoptic_head.num_things_classes=3' in message
    assert 'panoptic_fusion_head' not in message
    mended(cfg, message)


def test_mask_transformers(coco, segmentation, refused, mended):
    """The backbone counts the classes there, things and stuff together, besides the losses."""
    cfg = panoptic(coco)
    heads = dict(num_things_classes=2, num_stuff_classes=1)
    cfg.model = dict(
        type='MaskFormer',
        backbone=dict(type='mmvitdense.EoMT', num_classes=133),
        panoptic_head=dict(type='mmvitdense.MaskTransformerHead', **heads),
        panoptic_fusion_head=dict(type='MaskFormerFusionHead', **heads),
    )
    message = refused(cfg)
    assert message.endswith('model.backbone.num_classes is 133: set --cfg-options model.backbone.num_classes=3')
    mended(cfg, message)
    cfg.model.panoptic_head.num_things_classes = 80
    mended(cfg, refused(cfg))
    cfg = segmentation.config()
    cfg.model.backbone = dict(type='mmvitdense.EoMT', num_classes=150)
    mended(cfg, refused(cfg))
    # PEM and kMaX-DeepLab stand behind a pyramid, as the last of several necks.
    cfg.model.neck = [dict(type='mmvitdense.SimpleFeaturePyramid'), dict(type='mmvitdense.PEM', num_classes=150)]
    message = refused(cfg)
    assert message.endswith('--cfg-options model.neck.1.num_classes=3')
    mended(cfg, message)


def test_segmentation_heads(segmentation, refused, mended):
    cfg = segmentation.config()
    cfg.model.auxiliary_head[0].num_classes = 19
    cfg.model.auxiliary_head.append(dict(type='STDCHead', num_classes=2))
    message = refused(cfg)
    assert 'model.auxiliary_head.0.num_classes is 19' in message
    assert 'auxiliary_head.1' not in message
    mended(cfg, message)
    cfg.model.decode_head.num_classes = 2
    mended(cfg, refused(cfg))
    del cfg.model.auxiliary_head[0]['num_classes']
    message = refused(cfg)
    assert 'model.auxiliary_head.0.num_classes is not given' in message
    mended(cfg, message)


def write_segments(coco, segments):
    """Pictures in which each segment has a row."""
    (coco.root / 'segments').mkdir(exist_ok=True)
    for image in coco.content['images']:
        picture = np.zeros((image['height'], image['width'], 3), np.uint8)
        for row, segment in enumerate(segments.get(image['id'], ())):
            picture[row] = segment['id'] & 255, segment['id'] >> 8 & 255, segment['id'] >> 16
        Image.fromarray(picture).save(coco.root / 'segments' / image['file_name'].replace('.jpg', '.png'))


def panoptic(coco):
    """Turn the data into a panoptic file whose last category is stuff; return a config that fits it."""
    segments = {}
    for annotation in coco.annotations:
        segments.setdefault(annotation.pop('image_id'), []).append(annotation)
    coco.content['annotations'] = [
        dict(image_id=image, file_name=f'{image}.png', segments_info=found) for image, found in segments.items()
    ]
    for category in coco.content['categories']:
        category['isthing'] = int(category['id'] < 3)
    coco.write()
    write_segments(coco, segments)
    cfg = coco.config(
        type='CocoPanopticDataset',
        data_prefix=dict(img='photos/', seg='segments/'),
        pipeline=[dict(type='LoadPanopticAnnotations')],
    )
    cfg.val_evaluator = dict(type='CocoPanopticMetric', ann_file=str(coco.file), seg_prefix=str(coco.root / 'segments'))
    cfg.model = dict(
        type='PanopticFPN',
        semantic_head=dict(type='PanopticFPNHead', num_things_classes=2, num_stuff_classes=1),
        roi_head=dict(bbox_head=dict(type='Shared2FCBBoxHead', num_classes=2)),
        panoptic_fusion_head=dict(type='HeuristicFusionHead', num_things_classes=2, num_stuff_classes=1),
    )
    return cfg


def test_panoptic_heads(coco, refused, mended):
    cfg = panoptic(coco)
    check_data(cfg)
    cfg.model.roi_head.bbox_head.num_classes = 3
    cfg.model.semantic_head.num_stuff_classes = 53
    message = refused(cfg)
    assert '2 thing and 1 stuff classes' in message
    assert 'model.roi_head.bbox_head.num_classes=2' in message
    assert 'model.semantic_head.num_stuff_classes=1' in message
    mended(cfg, message)


def test_panoptic_data_scored_on_instances(coco, refused):
    instances = coco.root / 'instances.json'
    things = [category for category in coco.content['categories'] if category['id'] < 3]
    objects = [annotation for annotation in coco.annotations if annotation['category_id'] < 3]
    instances.write_text(json.dumps({**coco.content, 'categories': things, 'annotations': objects}))
    cfg = panoptic(coco)
    cfg.val_evaluator = [cfg.val_evaluator, dict(type='CocoMetric', ann_file=str(instances), metric=['bbox', 'segm'])]
    check_data(cfg)
    instances.write_text(json.dumps({**json.loads(instances.read_text()), 'categories': things[::-1]}))
    assert 'val_evaluator.1.ann_file' in refused(cfg)


def test_panoptic_files(coco, refused):
    cfg = panoptic(coco)
    content = json.loads(coco.file.read_text())
    content['categories'].reverse()
    coco.file.write_text(json.dumps(content))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.metainfo.classes = ('traffic light', 'dog', 'cat')
    assert 'things to be numbered before stuff' in refused(cfg)
    del content['categories'][0]['isthing']
    coco.file.write_text(json.dumps(content))
    assert "must have 'isthing'" in refused(cfg)
    shutil.rmtree(coco.root / 'segments')
    assert 'data_prefix.seg' in refused(cfg)


class TestPicturesOfSegments:
    @pytest.fixture
    def cfg(self, coco):
        return panoptic(coco)

    @pytest.fixture
    def picture(self, coco):
        return coco.root / 'segments/2.png'

    def test_missing(self, cfg, picture, refused):
        picture.unlink()
        assert '2.png' in (message := refused(cfg))
        assert 'data_prefix.seg=FOLDER' in message

    def test_no_picture(self, cfg, picture, refused):
        picture.write_text('<html>not found</html>')
        assert 'cannot be read as a picture' in refused(cfg)

    def test_another_size(self, cfg, picture, refused):
        Image.open(picture).resize((32, 24), Image.NEAREST).save(picture)
        assert '2.png has 32x24 pixels' in refused(cfg)

    def test_a_listed_segment_that_is_not_drawn(self, cfg, picture, refused):
        black = np.zeros_like(np.asarray(Image.open(picture)))
        Image.fromarray(black).save(picture)
        message = refused(cfg)
        assert 'of 2.jpg' in message
        assert 'lists the segments' in message

    def test_a_drawn_segment_that_is_not_listed(self, cfg, picture, log):
        pixels = np.array(Image.open(picture))
        pixels[-1] = 9, 9, 9
        Image.fromarray(pixels).save(picture)
        check_data(cfg, splits=['train'])
        assert [line for level, line in log if level == logging.WARNING and '2.png' in line]

    def test_what_the_metric_compares_with(self, coco, cfg, refused, mended):
        cfg.val_evaluator.seg_prefix = 'nowhere'
        mended(cfg, refused(cfg))
        cfg.val_evaluator.ann_file = 'other.json'
        message = refused(cfg)
        assert f'val_evaluator.ann_file={coco.file}' in message
        mended(cfg, message)


def test_the_built_in_panoptic_data(shapes_root):
    cfg = Config.fromfile(Path(__file__).parents[3] / 'configs/vitdet/vitdet-tiny_mask2former-panoptic_shapes.py')
    folder = f'{shapes_root}/annotations'
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(shapes_root)
    cfg.val_evaluator[0].update(
        ann_file=f'{folder}/panoptic_validation.json', seg_prefix=f'{folder}/panoptic_validation'
    )
    cfg.val_evaluator[1].ann_file = f'{folder}/instances_validation.json'
    check_data(cfg)
    # The images of both splits have the same names and ids.
    cfg.val_evaluator[1].ann_file = f'{folder}/instances_training.json'
    with pytest.raises(DataError, match=r'val_evaluator\.1\.ann_file, .*training.json, has other objects .*: only'):
        check_data(cfg, splits=['val'])
    cfg.val_evaluator[1].ann_file = f'{folder}/instances_validation.json'
    cfg.val_evaluator[0].seg_prefix = f'{folder}/panoptic_training'
    with pytest.raises(DataError, match=r'lists the segments .*val_evaluator\.0\.seg_prefix=FOLDER'):
        check_data(cfg, splits=['val'])
    cfg.val_evaluator[0].seg_prefix = f'{folder}/panoptic_validation'
    cfg.model.panoptic_head.num_stuff_classes = 2
    with pytest.raises(DataError, match=r'5 thing and 1 stuff classes.*panoptic_head.num_stuff_classes=1'):
        check_data(cfg)


@pytest.mark.parametrize('number', [3, 150])
def test_splits_that_no_model_fits(segmentation, refused, number):
    """Heads of as many classes as the one split has would be told to take the number of the other."""
    cfg = segmentation.config(number)
    cfg.val_dataloader.dataset.update(type='ADE20KDataset', metainfo=None)
    message = refused(cfg)
    assert 'train_dataloader.dataset' in message
    assert 'val_dataloader.dataset' in message
    assert '3' in message
    assert '150' in message
    assert '--cfg-options' not in message


def test_instances_for_a_head_of_things_and_stuff(coco, refused, mended):
    """Weights of classes are for the two together, so both numbers are told with them."""
    cfg = coco.config()
    cfg.model = dict(type='Mask2Former', panoptic_head=dict(type='Mask2FormerHead', num_things_classes=80))
    message = refused(cfg)
    assert 'model.panoptic_head.num_stuff_classes is 53' in message
    mended(cfg, message)
    assert cfg.model.panoptic_head.num_things_classes == 3
    assert cfg.model.panoptic_head.num_stuff_classes == 0
    assert cfg.model.panoptic_head.loss_cls.class_weight == [1.0, 1.0, 1.0, 0.1]
