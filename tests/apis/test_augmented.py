"""Test-time augmentation by `--tta`; its values are compared in tests/integration."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmvitdense.apis.augmented import augment_tests, augmented_model, views_of_segmentor
from mmvitdense.apis.build import build_model, predict_labels_alone
from mmvitdense.apis.config import load_config
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.test import evaluate_model

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')


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


@pytest.mark.parametrize(
    ('model', 'head'),
    [
        (dict(roi_head=dict(mask_head=dict(type='FCNMaskHead'))), 'model.roi_head.mask_head'),
        (dict(panoptic_head=dict(type='Mask2FormerHead')), 'model.panoptic_head'),
    ],
)
def test_models_of_masks_are_refused(model, head):
    cfg = config(tta_model=dict(type='mmdet.DetTTAModel'), tta_pipeline=[], model=model)
    with pytest.raises(InputError, match=f'merges boxes alone, and {head} predicts masks'):
        augment_tests(cfg)


def test_two_equal_views_of_boxes_give_what_one_gives(shapes_root, tmp_path):
    """From the data set to the score; the last suppression takes what is twice there."""
    pytest.importorskip('mmdet')
    still = dict(type='RandomFlip', prob=0.0)
    packed = dict(type='PackDetInputs', meta_keys=(*META_KEYS, 'flip', 'flip_direction'))
    views = [
        [dict(type='Resize', scale=(64, 64))],
        [still, still],
        [dict(type='LoadAnnotations', with_bbox=True)],
        [packed],
    ]
    pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=views)]
    cfg = load_config(
        'mmvitdense::vitdet/vitdet-tiny_gfl_shapes.py',
        {
            'model.test_cfg.score_thr': 0.0,
            'model.test_cfg.nms.iou_threshold': 0.5,
            'test_dataloader.dataset.data_root': f'{shapes_root}/',
            'test_evaluator.ann_file': f'{shapes_root}/annotations/instances_validation.json',
            'test_dataloader.dataset.pipeline': [*pipeline[:1], *(step[0] for step in views)],
            'work_dir': str(tmp_path),
        },
    )
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
    cfg.tta_pipeline = pipeline
    model = build_model(cfg)
    model.init_weights()
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    found = []
    for tta in (False, True):
        out = tmp_path / f'{tta}.pkl'
        evaluate_model(copy.deepcopy(cfg), tmp_path / 'w.pth', tta=tta, out=str(out))
        found.append([sample['pred_instances'] for sample in pickle.loads(out.read_bytes())])
    assert len(found[0]) == len(found[1]) == 3
    for one, both in zip(*found):
        assert len(one['scores']) == len(both['scores']) > 20
        for name in ('scores', 'labels', 'bboxes'):
            torch.testing.assert_close(both[name], one[name])


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


LOAD, LABELS = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=True)
PACK = dict(type='PackSegInputs', meta_keys=('img_shape',))


@pytest.mark.parametrize(
    ('pipeline', 'scales', 'behind'),
    [
        (
            [
                LOAD,
                dict(type='Resize', scale=(2048, 512), keep_ratio=True),
                dict(type='ResizeToMultiple'),
                LABELS,
                PACK,
            ],
            [(1024, 256), (1536, 384), (2048, 512), (2560, 640), (3072, 768), (3584, 896)],
            ['ResizeToMultiple', 'LoadAnnotations', 'PackSegInputs'],
        ),
        ([LOAD, LABELS, PACK], [0.5, 0.75, 1.0, 1.25, 1.5, 1.75], ['LoadAnnotations', 'PackSegInputs']),
        (
            [LOAD, dict(type='mmvitdense.PadPixels'), dict(type='LoadManipulationMask'), PACK],
            [0.5, 0.75, 1.0, 1.25, 1.5, 1.75],
            ['PadPixels', 'LoadManipulationMask', 'PackSegInputs'],
        ),
    ],
)
def test_views_of_a_segmentor_come_from_its_own_pipeline(pipeline, scales, behind):
    (load, augment), _ = views_of_segmentor(pipeline)
    assert load == LOAD
    sizes, flips, *rest = augment['transforms']
    assert [size.get('scale') or size['scale_factor'] for size in sizes] == scales
    assert all(size['keep_ratio'] for size in sizes)
    assert [flip['prob'] for flip in flips] == [0.0, 1.0]
    assert [step['type'].rpartition('.')[2] for (step,) in rest] == behind
    assert rest[-1][0]['meta_keys'] == ('img_shape', 'flip', 'flip_direction')


def test_labels_that_would_be_resized_and_models_without_maps_are_refused():
    with pytest.raises(InputError, match='loads labels before Resize'):
        views_of_segmentor([LOAD, LABELS, dict(type='Resize', scale=(8, 8)), PACK])
    with pytest.raises(InputError, match='NAFPretraining predicts no label maps'):
        augment_tests(config(default_scope='mmseg', model=dict(type='NAFPretraining')))


def test_a_segmentor_without_views_of_its_own_is_tested_on_twelve(shapes_root, tmp_path, caplog):
    """One view more than once gives what it gives alone; so the merged map of all is another than that of one."""
    pytest.importorskip('mmseg')
    options = {'test_dataloader.dataset.data_root': f'{shapes_root}/', 'test_dataloader.dataset.indices': 1}
    cfg = load_config('mmvitdense::quickstart/vit-tiny_upernet_shapes.py', {**options, 'work_dir': str(tmp_path)})
    model = build_model(cfg)
    model.init_weights()
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    maps = []
    for tta in (False, True):
        out = tmp_path / f'{tta}.pkl'
        evaluate_model(copy.deepcopy(cfg), tmp_path / 'w.pth', tta=tta, out=str(out))
        maps.append(pickle.loads(out.read_bytes())[0]['pred_sem_seg']['data'])
    assert maps[0].shape == maps[1].shape
    assert 0 < (maps[0] != maps[1]).float().mean() < 1


def test_views_of_one_score_are_averaged_as_probabilities():
    pytest.importorskip('mmseg')
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmvitdense.models.segmentation.segmentor_tta import SegmentorTTAModel

    module = nn.Module()
    module.out_channels, module.decode_head, module.test_step = 1, SimpleNamespace(threshold=0.5), None
    model = SegmentorTTAModel(module)
    views = [SegDataSample(seg_logits=PixelData(data=torch.tensor([[scores]]))) for scores in ([0.1, 0.9], [0.3, 0.7])]
    for view in views:
        view.set_metainfo({'img_path': 'a.png'})
    (merged,) = model.merge_preds([views])
    torch.testing.assert_close(merged.seg_logits.data, torch.tensor([[[0.2, 0.8]]]))
    assert merged.pred_sem_seg.data.tolist() == [[[0.0, 1.0]]]
