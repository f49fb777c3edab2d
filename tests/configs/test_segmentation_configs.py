"""Segmentors: classes and crops agree in every part of a config; linear heads are as large as published ones."""

import re

import pytest
import torch
from mmengine.registry import TRANSFORMS, DefaultScope

from mmvitdense.registry import MODELS
from tests.configs.test_configs import LEAVES, load

datasets = pytest.importorskip('mmseg.datasets')

DATA = {'ade20k': 150, 'voc2012': 21, 'cityscapes': 19, 'coco-stuff164k': 171, 'pascal-context59': 59}
# By name: loading all configs takes its time.
SEGMENTORS = [
    name for name in LEAVES if re.search(rf'_({"|".join(DATA)})-\d+(x\d+)?\.py$', name) and '_panoptic_' not in name
]
assert SEGMENTORS


@pytest.mark.parametrize('name', SEGMENTORS)
def test_classes_and_crops(name):
    config = load(name)
    assert config.default_scope == 'mmseg'
    (classes,) = (count for data, count in DATA.items() if f'_{data}-' in name)
    dataset = config.test_dataloader.dataset
    assert len(getattr(datasets, dataset.type).METAINFO['classes']) == classes
    heads = [config.model.decode_head, *listed(config.model.get('auxiliary_head'))]
    for head in heads:
        assert head.num_classes == classes
        weights = head.get('loss_cls', {}).get('class_weight')
        assert weights is None or len(weights) == head.num_classes + 1
    size = tuple(config.model.data_preprocessor.size)
    crops = [step.crop_size for step in config.train_dataloader.dataset.pipeline if step.type == 'RandomCrop']
    assert not crops or tuple(crops[0]) == size
    test = config.model.test_cfg
    assert test.mode == 'whole' or tuple(test.crop_size) == size
    assert test.mode != 'slide' or all(step <= side for step, side in zip(test.stride, size))


def listed(heads):
    return [] if heads is None else heads if isinstance(heads, list) else [heads]


@pytest.mark.parametrize(
    ('name', 'total'),
    [
        ('dinov3/vit-s-dinov3_linear_40k_ade20k-512.py', 58_518),
        ('dinov3/vit-b-dinov3_linear_40k_ade20k-512.py', 116_886),
        ('dinov3/vit-l-dinov3_linear_40k_ade20k-512.py', 155_798),
        ('dinov2/vit-s-dinov2_linear_40k_voc2012-512.py', 2 * 384 + 384 * 21 + 21),
        ('dinov2/vit-g-dinov2_linear-ms_40k_ade20k-640.py', 4 * 1536 * (2 + 150) + 150),
    ],
)
def test_what_learns_of_a_linear_segmentor(name, total):
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(load(name).model)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == total
    model.train()
    assert not model.backbone.vit.blocks.training or not any(block.training for block in model.backbone.vit.blocks)


@pytest.mark.parametrize(
    ('name', 'views'),
    [
        ('dinov2/vit-s-dinov2_linear-ms_40k_ade20k-640.py', 10),
        ('vit/vit-b-augreg_fcn_160k_ade20k-512.py', 12),
    ],
)
def test_views(name, views, shapes_root):
    config = load(name)
    with DefaultScope.overwrite_default_scope('mmseg'):
        load_image, augment = map(TRANSFORMS.build, config.tta_pipeline)
        sample = load_image(dict(img_path=str(next(shapes_root.glob('images/validation/*'))), seg_fields=[]))
        sample.update(seg_map_path=str(next(shapes_root.glob('annotations/validation/*.png'))), reduce_zero_label=False)
        found = augment(sample)
    assert len(found['inputs']) == len(found['data_samples']) == views
