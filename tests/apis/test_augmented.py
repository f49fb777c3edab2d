"""Test-time augmentation by `--tta`; its values are compared in tests/integration."""

import pytest
from mmengine.config import Config

from mmvitdense.apis.augmented import augment_tests
from mmvitdense.apis.errors import InputError


def config(**fields):
    dataset = dict(type='CocoDataset', pipeline=[dict(type='LoadImageFromFile')])
    return Config(dict(default_scope='mmdet', model=dict(), test_dataloader=dict(dataset=dataset), **fields))


def test_test_data_is_loaded_by_the_pipeline():
    cfg = config(tta_model=dict(type='DetTTAModel'), tta_pipeline=[dict(type='TestTimeAug')])
    augment_tests(cfg)
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == ['TestTimeAug']


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({}, 'has no tta_model and no tta_pipeline; expected both'),
        ({'tta_model': dict(type='SegTTAModel')}, 'has no tta_pipeline; expected both'),
    ],
)
def test_what_a_config_lacks_is_named(fields, message):
    with pytest.raises(InputError, match=message):
        augment_tests(config(**fields))


def test_models_of_masks_are_refused():
    cfg = config(tta_model=dict(type='mmdet.DetTTAModel'), tta_pipeline=[])
    cfg.model.roi_head = dict(mask_head=dict(type='FCNMaskHead'))
    with pytest.raises(InputError, match='merges boxes alone'):
        augment_tests(cfg)
