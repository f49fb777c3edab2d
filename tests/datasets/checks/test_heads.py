"""The number of classes that the heads of a model predict, against that of the data."""

import json

import pytest

from mmvitdense.datasets.checks import check_data


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
    cfg.merge_from_dict(changes)
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
    check_data(cfg)
    cfg.model.panoptic_head.num_things_classes = 80
    message = refused(cfg)
    assert 'model.panoptic_head.num_things_classes=3' in message
    assert 'panoptic_fusion_head' not in message
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
    (coco.root / 'segments').mkdir(exist_ok=True)
    cfg = coco.config(
        type='CocoPanopticDataset',
        data_prefix=dict(img='photos/', seg='segments/'),
        pipeline=[dict(type='LoadPanopticAnnotations')],
    )
    cfg.val_evaluator = dict(type='CocoPanopticMetric')
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
    (coco.root / 'segments').rmdir()
    assert 'data_prefix.seg' in refused(cfg)
