"""The recipes of EoMT are the published ones."""

import pytest
import torch

from tests.configs.shrink import SIDE, shrink
from tests.configs.test_configs import build_batch, build_model, load

COCO, TWICE, ADE, CITYSCAPES = 88_692, 177_384, 39_120, 19_902
DINOV2, DINOV3 = (1e-4, 0.8, 0, (500, 1000)), (2e-4, 0.8, 4, (2000, 3000))
RECIPES = {
    # steps, (learning rate, layer decay, blocks at the full rate, warm-up), starts and ends of the annealing
    'l-dinov2_panoptic_12e_coco-640': (COCO, DINOV2, [14782, 29564, 44346, 59128], [29564, 44346, 59128, 73910]),
    'b-dinov2_panoptic_12e_coco-640': (COCO, DINOV2, [14782, 36955, 59128], [29564, 51737, 73910]),
    'g-dinov2_panoptic_12e_coco-1280': (
        COCO,
        DINOV2,
        [14782, 25869, 36955, 48042, 59128],
        [29564, 40651, 51737, 62824, 73910],
    ),
    's-dinov2_panoptic_24e_coco-640': (TWICE, DINOV2, [29564, 73910, 118256], [59128, 103474, 147820]),
    'l-dinov2_instance_12e_coco-1280': (COCO, DINOV2, [14782, 29564, 44346, 59128], [29564, 44346, 59128, 73910]),
    'l-dinov2_panoptic_31e_ade20k-640': (ADE, DINOV2, [6520, 13040, 19560, 26080], [13040, 19560, 26080, 32600]),
    'g-dinov2_panoptic_31e_ade20k-640': (
        ADE,
        DINOV2,
        [6520, 11410, 16300, 21190, 26080],
        [13040, 17930, 22820, 27710, 32600],
    ),
    'l-dinov2_semantic_31e_ade20k-512': (ADE, DINOV2, [6520, 13040, 19560, 26080], [13040, 19560, 26080, 32600]),
    'l-dinov2_semantic_107e_cityscapes-1024': (
        CITYSCAPES,
        DINOV2,
        [3317, 6634, 9951, 13268],
        [6634, 9951, 13268, 16585],
    ),
    'l-dinov3_panoptic_12e_coco-640': (COCO, DINOV3, [0, 29564, 44346, 59128], [3000, 44346, 59128, 73910]),
    'b-dinov3_panoptic_24e_coco-640': (
        TWICE,
        (*DINOV3[:2], 3, DINOV3[3]),
        [0, 73910, 118256],
        [3000, 103474, 147820],
    ),
    'l-dinov3_instance_12e_coco-640': (COCO, DINOV3, [14782, 29564, 44346, 59128], [29564, 44346, 59128, 73910]),
    'l-dinov3_semantic_16e_ade20k-512': (
        20_208,
        (2e-4, 1.0, 4, (2000, 3000)),
        [0, 6520, 9780, 13040],
        [3000, 9780, 13040, 16300],
    ),
}


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name):
    config = load(f'eomt/eomt-{name}.py')
    steps, (lr, decay, full, warmup), starts, ends = RECIPES[name]
    (schedule,), (hook,), wrapper = config.param_scheduler, config.custom_hooks, config.optim_wrapper
    assert config.train_cfg.max_iters == config.max_iters == schedule.total == steps
    assert (hook.starts, hook.ends, tuple(schedule.warmup)) == (starts, ends, warmup)
    assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay, wrapper.clip_grad.max_norm) == (lr, 0.05, 0.01)
    assert (wrapper.paramwise_cfg.layer_decay_rate, wrapper.paramwise_cfg.get('num_full_blocks', 0)) == (decay, full)
    assert config.train_dataloader.batch_size * 4 == config.auto_scale_lr.base_batch_size == 16
    backbone = config.model.backbone
    assert backbone.num_queries == (100 if '_semantic_' in name else 200)
    assert backbone.vit.get('rope') == ({'kind': 'dinov3', 'rescale': 2.0} if 'dinov3' in name else None)
    size = int(name.rpartition('-')[2])
    if 'dinov2' in name:
        assert backbone.vit.pretrain_img_size == size
    assert f"'scale': ({size}, {size})" in str(config.train_dataloader.dataset.to_dict())
    assert ('ColorJitter' in str(config.train_dataloader.dataset.to_dict())) == ('coco' not in name)


def test_steps_of_one_gpu():
    """The numbers of schedule and annealing are those of the whole recipe, the loop is as much longer."""
    whole, one = (load(f'eomt/eomt-l-dinov2_panoptic_12e{part}_coco-640.py') for part in ('', '-acc4'))
    assert one.custom_hooks == whole.custom_hooks
    assert one.param_scheduler[0].total == whole.param_scheduler[0].total
    assert one.optim_wrapper.accumulative_counts == one.param_scheduler[0].accumulative_counts == 4
    assert one.train_cfg.max_iters == 4 * whole.train_cfg.max_iters


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_padding_is_black(loader, shapes_root):
    """In training and testing, as pixels of an image that are zero before they are normalised."""
    small = shrink(load('eomt/eomt-l-dinov2_panoptic_12e_coco-640.py'), shapes_root)
    preprocessor = build_model(small).data_preprocessor
    batch = build_batch(small, loader, 2)
    data = preprocessor(batch, training=loader == 'train_dataloader')
    assert data['inputs'].shape == (2, 3, SIDE, SIDE)
    black = -preprocessor.mean / preprocessor.std
    seen = 0
    for image, sample in zip(data['inputs'], data['data_samples']):
        height, width = sample.img_shape
        for padding in (image[:, height:], image[:, :, width:]):
            seen += padding.numel()
            torch.testing.assert_close(padding, black.expand_as(padding))
    assert seen > 0


def test_classes_of_ade20k():
    """The stuff of the published config, by its number among the 150 classes, is that of mmdet's data set."""
    from mmdet.datasets.ade20k import ADE20KPanopticDataset
    from mmseg.datasets import ADE20KDataset

    stuff = {0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63}
    stuff |= {68, 77, 79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145}
    classes = ADE20KPanopticDataset.METAINFO
    assert classes['classes'] == classes['thing_classes'] + classes['stuff_classes']
    assert (len(classes['thing_classes']), len(classes['stuff_classes'])) == (100, 50)
    called = {'falls': 'waterfall', 'pool': 'swimming pool'}
    names = {name.split(',')[0] for name in classes['stuff_classes']}
    assert {called.get(name, name) for name in names} == {ADE20KDataset.METAINFO['classes'][index] for index in stuff}
