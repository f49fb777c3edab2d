"""Test-time augmentation by `--tta`; its values are compared in tests/integration."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.apis.augmented import augment_tests, augmented_model
from mmvitdense.apis.build import predict_labels_alone
from mmvitdense.apis.errors import InputError


def config(**fields):
    dataset = dict(type='CocoDataset', pipeline=[dict(type='LoadImageFromFile')])
    return Config({'default_scope': 'mmdet', 'model': {}, 'test_dataloader': {'dataset': dataset}, **fields})


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


@pytest.mark.parametrize('kind', ['DetTTAModel', 'mmdet.DetTTAModel', 'mmseg.SegTTAModel'])
def test_the_model_is_found_with_its_scope_and_without(kind):
    for library in ('mmdet', 'mmseg'):
        pytest.importorskip(library)

    class Model(nn.Module):
        def test_step(self, data):
            return data

    tta = dict(type=kind, **(dict(tta_cfg=dict(max_per_img=1)) if 'Det' in kind else {}))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = augmented_model(config(tta_model=tta), Model())
    assert type(model).__name__ == kind.rpartition('.')[2]


@pytest.mark.parametrize('kind', ['NoSuchModel', 'mmdet.NoSuchModel'])
def test_a_model_that_nobody_registered(kind):
    pytest.importorskip('mmdet')
    with DefaultScope.overwrite_default_scope('mmdet'), pytest.raises(InputError, match=f'{kind}.*is not registered'):
        augmented_model(config(tta_model=dict(type=kind)), nn.Identity())


def test_scores_are_kept_for_views_alone():
    fields = dict(tta_model=dict(type='SegTTAModel'), tta_pipeline=[], default_scope='mmseg')
    cfg = config(**fields)
    cfg.model.test_cfg = dict(mode='whole')
    augment_tests(cfg)
    assert 'keep_logits' not in cfg.model.test_cfg
    predict_labels_alone(cfg)
    assert cfg.model.test_cfg.keep_logits is False
    with pytest.raises(InputError, match='merges scores, and model.test_cfg.keep_logits is False'):
        augment_tests(cfg)
