"""A recipe for public data, given a folder of one's own: what the check says leads to training on the right labels."""

import copy
import re

import numpy as np
import pytest
from mmengine.config import DictAction
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from mmvitdense.apis.config import load_config
from mmvitdense.datasets.checks import DataError, check_data

# Row by row, the labels that a model has to learn.
LABELS = np.repeat([0, 1, 2], 16)[:, None] + np.zeros((1, 64), int)


def values(kind):
    """The pixels of a map: from 0, from 1, or from 1 with unlabelled pixels of value 0."""
    found = LABELS + (kind != 'from zero')
    return np.where(np.arange(64) < 9, 0, found) if kind == 'unlabelled' else found


@pytest.fixture(scope='module')
def recipe():
    return load_config('mmvitdense::vit/vit-b-mae_upernet-multilevel_160k_ade20k-512.py')


@pytest.mark.parametrize('pipeline_says', [None, True])
@pytest.mark.parametrize('palette', [False, True])
@pytest.mark.parametrize('kind', ['from zero', 'from one', 'unlabelled'])
def test_the_advice_leads_to_the_right_labels(recipe, segmentation, kind, palette, pipeline_says):
    for image in range(4):
        picture = Image.fromarray(values(kind).astype(np.uint8))
        if palette:
            picture.putpalette([9, 9, 9, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        picture.save(segmentation.root / f'maps/{image}.png')
    cfg = copy.deepcopy(recipe)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(
            data_root=str(segmentation.root),
            data_prefix=dict(img_path='photos', seg_map_path='maps'),
            metainfo=dict(classes=('road', 'lawn', 'sky')),
        )
        if pipeline_says is not None:  # as recipes of mmseg have it
            for transform in loader.dataset.pipeline:
                if transform.type == 'LoadAnnotations':
                    transform.reduce_zero_label = pipeline_says
    steps = follow_advice(cfg)
    assert len(steps) <= 4, steps
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 3
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        settings = loader.dataset.copy()
        settings.serialize_data = False  # which collects garbage, for a second
        settings.pipeline = [step for step in settings.pipeline if step.type.startswith('Load')]
        with DefaultScope.overwrite_default_scope('mmseg'):
            loaded = DATASETS.build(settings)[0]['gt_seg_map']
        assert (loaded == np.where(values(kind) == 0, 255 if kind == 'unlabelled' else 0, LABELS)).all()


def follow_advice(cfg):
    """Set the options that the check names, in place, until it is content; return what it said."""
    said = []
    while True:
        try:
            check_data(cfg, splits=('train', 'val', 'test'))
            return said
        except DataError as error:
            said.append(str(error))
            assert len(said) < 10, said
            options = re.findall(r'((?:train|val|test|model)[\w.]*)=(\S+)', said[-1].partition('--cfg-options')[2])
            assert options, said
            cfg.merge_from_dict({key: DictAction._parse_iterable(value) for key, value in options})
