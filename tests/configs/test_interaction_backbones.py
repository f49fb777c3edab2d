"""The recipes of ViT-Adapter and ViT-CoMer, against the numbers of their repositories."""

import functools
import re

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.scheduler import LinearLR, MultiStepLR, PolyLR
from torch import nn

from tests.configs.test_configs import LEAVES, build_model, load, without_amp

IMAGENET, HALF = 123.675, 127.5
BACKBONES = {'vit_adapter/vit-adapter': 'mmvitdense.ViTAdapter', 'vit_comer/vit-comer': 'mmvitdense.ViTCoMer'}
ADAPTER, COMER = BACKBONES
# Each row: learning rate, weight decay, layer decay, drop path, heads and width of the deformable attention, side of
# the pre-training images (which the table of positions is for), mean of red.
DETECTORS = {
    't-deit_mask-rcnn': (1e-4, 0.05, None, 0.1, 6, 1.0, 224, IMAGENET),
    's-deit_mask-rcnn': (1e-4, 0.05, None, 0.2, 6, 1.0, 224, IMAGENET),
    'b-deit_mask-rcnn': (1e-4, 0.05, None, 0.3, 12, 0.5, 224, IMAGENET),
    'l-augreg_mask-rcnn': (1e-4, 0.05, 0.8, 0.4, 16, 0.5, 384, HALF),
    's-dinov2_mask-rcnn': (1e-4, 0.05, 0.7, 0.2, 6, 1.0, 592, IMAGENET),
    'b-dinov2_mask-rcnn': (1e-4, 0.05, 0.6, 0.3, 12, 0.5, 592, IMAGENET),
    'l-dinov2_mask-rcnn': (1e-4, 0.05, 0.65, 0.4, 16, 0.5, 592, IMAGENET),
    's-deit_cascade-mask-rcnn': (1e-4, 0.05, None, 0.2, 6, 1.0, 224, IMAGENET),
    'b-deit_cascade-mask-rcnn': (1e-4, 0.05, None, 0.3, 12, 0.5, 224, IMAGENET),
    's-deit_atss': (1e-4, 0.05, None, 0.2, 6, 1.0, 224, IMAGENET),
    's-deit_gfl': (1e-4, 0.05, None, 0.2, 6, 1.0, 224, IMAGENET),
}
EXCEPTIONS = {
    f'{stem}-t-deit_mask-rcnn_{schedule}_coco': (2e-4, 0.01, *DETECTORS['t-deit_mask-rcnn'][2:])
    for stem, schedule in ((ADAPTER, '1x'), (COMER, 'ms-1x'))
} | {f'{ADAPTER}-l-dinov2_mask-rcnn_ms-3x_coco': (*DETECTORS['l-dinov2_mask-rcnn'][:-1], HALF)}
SEGMENTORS = {
    't-deit_upernet': (1.2e-4, 0.01, 0.95, 0.1, 6, 1.0, 224, IMAGENET),
    's-deit_upernet': (6e-5, 0.01, 0.95, 0.2, 6, 1.0, 224, IMAGENET),
    'b-deit_upernet': (6e-5, 0.01, 0.95, 0.3, 12, 0.5, 224, IMAGENET),
    'b-augreg_upernet': (2e-5, 0.01, None, 0.3, 12, 0.5, 384, HALF),
    'l-augreg_upernet': (2e-5, 0.05, 0.95, 0.4, 16, 0.5, 384, HALF),
    'l-beitv2_mask2former': (2e-5, 0.05, 0.9, 0.3, 16, 0.5, 896, IMAGENET),
}
PARAMETERS = {
    # Of the backbone and of the whole model, as published or counted in the official modules. BEiT's biases of the
    # keys, which are zero, count here and not there: 24 blocks of 1024.
    f'{ADAPTER}-t-deit_mask-rcnn_ms-3x_coco': (7_966_640, 28_068_512),
    f'{ADAPTER}-s-deit_mask-rcnn_ms-3x_coco': (27_503_888, 47_802_368),
    f'{ADAPTER}-b-deit_mask-rcnn_ms-3x_coco': (99_495_392, 120_187_088),
    f'{ADAPTER}-l-augreg_mask-rcnn_ms-3x_coco': (326_584_512 + 389_120, 347_927_472),
    # 109.7 and 400.8 million of 110 and 401 as published.
    f'{ADAPTER}-s-deit_sparse-rcnn_ms-3x_coco': (27_503_888, 109_748_920),
    f'{ADAPTER}-l-beitv2_htc_ms-3x_coco': (None, 400_750_837),
    f'{ADAPTER}-l-beitv2_mask2former_80k_ade20k-896': (331_091_648 + 24 * 1024, None),
    f'{COMER}-t-deit_mask-rcnn_ms-3x_coco': (8_739_680, 28.84e6),
    f'{COMER}-s-dinov2_mask-rcnn_ms-3x_coco': (30_457_568, 50.76e6),
    f'{COMER}-b-dinov2_mask-rcnn_ms-3x_coco': (109_051_520, 129.74e6),
    f'{COMER}-l-augreg_mask-rcnn_ms-3x_coco': (341_893_184 + 389_120, 362.85e6 + 389_120),
    f'{COMER}-t-deit_upernet_160k_ade20k-512': (10_619_360, 38.715e6),
    f'{COMER}-s-deit_upernet_160k_ade20k-512': (31_280_480, 61.392e6),
    f'{COMER}-b-deit_upernet_160k_ade20k-512': (110_603_648, 144.745e6),
    f'{COMER}-l-beitv2_mask2former_80k_coco-stuff164k-896': (None, 633_586_156 + 24 * 1024),
}
FAMILIES = [name.removesuffix('.py') for name in LEAVES if name.startswith(tuple(BACKBONES))]
# With recipes of their own, see `TestOtherRecipes`.
OTHERS = ('dino-5scale', '_htc_', '_sparse-rcnn_', 'mask2former-panoptic', '-mae_')
RECIPES = [name for name in FAMILIES if not name.endswith('_shapes') and not any(part in name for part in OTHERS)]


def expected_recipe(name):
    if name in EXCEPTIONS:
        return EXCEPTIONS[name]
    # Without masks, or without the pyramid network, it is the recipe of Mask R-CNN.
    name = name.replace('_faster-rcnn_', '_mask-rcnn_').replace('-no-fpn_', '_')
    ((_, row),) = ((key, row) for key, row in {**DETECTORS, **SEGMENTORS}.items() if f'-{key}_' in name)
    return row


@functools.cache
def model_of(name):
    with torch.device('meta'):
        return build_model(load(f'{name}.py'))


def options_by_name(name):
    model = model_of(name)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    optimizer = build_optim_wrapper(model, without_amp(load(f'{name}.py').optim_wrapper)).optimizer
    return {names[id(p)]: (g['lr'], g['weight_decay']) for g in optimizer.param_groups for p in g['params']}


@pytest.mark.parametrize('name', RECIPES)
class TestRecipe:
    @pytest.fixture
    def config(self, name):
        return load(f'{name}.py')

    def test_numbers(self, config, name):
        backbone, optimizer = config.model.backbone, config.optim_wrapper.optimizer
        assert backbone.type == BACKBONES[ADAPTER if name.startswith(ADAPTER) else COMER]
        assert expected_recipe(name) == (
            optimizer.lr,
            optimizer.weight_decay,
            config.optim_wrapper.paramwise_cfg.get('layer_decay_rate'),
            backbone.vit.drop_path_rate,
            backbone.get('deform_num_heads', 6),
            backbone.get('deform_ratio', 1.0),
            backbone.vit.pretrain_img_size,
            config.model.data_preprocessor.mean[0],
        )
        assert (optimizer.type, tuple(optimizer.betas)) == ('AdamW', (0.9, 0.999))
        assert 'clip_grad' not in config.optim_wrapper
        assert config.auto_scale_lr.base_batch_size == 16
        assert backbone.norm_cfg.type == 'SyncBN'

    def test_arrangement(self, config, name):
        """Detection has windows and the last map of the ViT, segmentation global attention and a map of each stage."""
        backbone = config.model.backbone
        detection = config.default_scope == 'mmdet'
        assert backbone.get('vit_feature', 'last') == ('last' if detection else 'stagewise')
        assert backbone.vit.get('window_size', 0) == (14 if detection else 0)
        assert backbone.vit.get('window_pad', 'qkv') == 'qkv'
        beit = 'beit' in name
        assert (backbone.vit.layer_scale_init, backbone.get('gamma_init', 0.0)) == (
            (1e-6, 1e-6) if beit else (1.0, 0.0)
        )
        if name.startswith(COMER):
            widths = {'-t-': 6.0, '-s-': 1.5, '-b-': 1.0, '-l-': 6.0}
            (width,) = (width for size, width in widths.items() if size in name)
            assert backbone.get('mrfp_ratio', 0.5) == (0.5 if detection else width)

    def test_mixed_precision(self, config, name):
        """All but ViT-Adapter's Mask R-CNN, with its masks or without, and the large segmentors."""
        of_adapter = name.startswith(ADAPTER) and re.search('_(mask|faster)-rcnn', name)
        in_float32 = '-l-' in name if config.default_scope == 'mmseg' else of_adapter
        assert config.optim_wrapper.type == ('OptimWrapper' if in_float32 else 'AmpOptimWrapper')

    def test_schedule(self, config, name):
        warm_up, decay = config.param_scheduler
        assert (warm_up.type, warm_up.begin, decay.begin) == ('LinearLR', 0, 0)
        if config.default_scope == 'mmdet':
            assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.001, 500, False)
            epochs, milestones = (36, [27, 33]) if '3x' in name else (12, [8, 11])
            assert (config.train_cfg.max_epochs, decay.milestones, decay.gamma) == (epochs, milestones, 0.1)
            assert decay.by_epoch
        else:
            assert (warm_up.start_factor, warm_up.end) == (1e-6, 1500)
            iterations = 80_000 if 'mask2former' in name else 160_000
            assert (config.train_cfg.max_iters, decay.end, decay.power) == (iterations, iterations, 1.0)

    def test_images(self, config, name):
        pipeline = config.train_dataloader.dataset.pipeline
        if config.default_scope == 'mmseg':
            side = 896 if 'mask2former' in name else 512
            (resize,) = (step for step in pipeline if step.type == 'RandomResize')
            assert (tuple(resize.scale), tuple(resize.ratio_range)) == ((4 * side, side), (0.5, 2.0))
            assert tuple(config.model.test_cfg.stride) == {512: (341, 341), 896: (512, 512)}[side]
            assert tuple(config.model.test_cfg.crop_size) == (side, side)
            assert 'ResizeToMultiple' in [step.type for step in config.val_dataloader.dataset.pipeline]
            return
        assert config.model.data_preprocessor.pad_size_divisor == 32
        (test,) = (step for step in config.val_dataloader.dataset.pipeline if step.type == 'Resize')
        assert tuple(test.scale) == (1333, 800)
        if '_1x_' in name:
            assert tuple(pipeline[2].scale) == (1333, 800)
            return
        choice, crop = pipeline[3:5]
        (plain,), (small, cut, again) = choice.transforms
        sides = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
        assert [tuple(scale) for scale in plain.scales] == [(side, 1333) for side in sides]
        assert again == plain
        assert [tuple(scale) for scale in small.scales] == [(400, 1333), (500, 1333), (600, 1333)]
        assert (cut.crop_type, tuple(cut.crop_size)) == ('absolute_range', (384, 600))
        assert (crop.crop_type, tuple(crop.crop_size), crop.allow_negative_crop) == (
            'absolute_range',
            (1024, 1024),
            True,
        )


@pytest.mark.parametrize('name', list(PARAMETERS))
def test_number_of_parameters(name):
    model, (backbone, whole) = model_of(name), PARAMETERS[name]
    if backbone is not None:
        assert sum(parameter.numel() for parameter in model.backbone.parameters()) == backbone
    if whole is not None:
        # Those with a fraction of a million are known to as many digits.
        precision = 0 if isinstance(whole, int) else 5_000
        assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(whole, rel=0, abs=precision)


@pytest.mark.parametrize(
    ('name', 'windows'),
    [
        (f'{ADAPTER}-s-deit_mask-rcnn_ms-3x_coco', [14, 14, 0] * 4),
        (f'{COMER}-t-deit_mask-rcnn_ms-3x_coco', [14, 14, 0] * 4),
        (f'{COMER}-l-augreg_mask-rcnn_ms-3x_coco', [14, 14, 14, 14, 14, 0] * 4),
        (f'{COMER}-l-beitv2_dino-5scale_16e_coco', [14, 14, 14, 14, 14, 56] * 4),
        (f'{ADAPTER}-l-augreg_htc_ms-3x_coco', [14, 14, 14, 14, 14, 0] * 4),
        (f'{ADAPTER}-l-beit_htc_ms-3x_coco', [14, 14, 14, 14, 14, 56] * 4),
        (f'{COMER}-t-deit_upernet_160k_ade20k-512', [0] * 12),
    ],
)
def test_windows_of_the_blocks(name, windows):
    vit = model_of(name).backbone.vit
    assert [block.attn.window_size for block in vit.blocks] == windows


OTHER_RECIPES = {
    # layer decay, drop path, largest norm of the gradient, images an iteration, an image of the test (long and short
    # side), precision, end of training, where the rate falls
    's-deit_sparse-rcnn_ms-3x_coco': (None, 0.2, 1, 16, (1333, 800), 'OptimWrapper', 36, [27, 33]),
    'b-mae_mask-rcnn_lsj-25e_coco': (None, 0.1, None, 16, (1333, 800), 'AmpOptimWrapper', 25, 'cosine'),
    'b-mae_mask-rcnn_lsj-50e_coco': (None, 0.2, None, 16, (1333, 800), 'AmpOptimWrapper', 50, 'cosine'),
    'l-augreg_htc_ms-3x_coco': (0.9, 0.4, None, 16, (1600, 1400), 'OptimWrapper', 36, [27, 33]),
    'l-beit_htc_ms-3x_coco': (0.9, 0.4, None, 16, (1600, 1400), 'OptimWrapper', 36, [27, 33]),
    'l-beitv2_htc_ms-3x_coco': (0.9, 0.4, None, 16, (1600, 1400), 'OptimWrapper', 36, [27, 33]),
    'l-beitv2_htc_objects365-20k_coco': (0.8, 0.3, 0.1, 64, (2000, 1000), 'OptimWrapper', 20_000, None),
    'l-beitv2_mask2former-panoptic_ms-3x_coco': (
        *(0.9, 0.4, 0.01, 16, (1333, 800), 'OptimWrapper'),
        *(265_500, [191_750, 236_000]),
    ),
}


class TestOtherRecipes:
    def test_all_are_here(self):
        others = {name for name in FAMILIES if name.startswith(ADAPTER) and any(part in name for part in OTHERS)}
        assert others == {f'{ADAPTER}-{name}' for name in OTHER_RECIPES}

    @pytest.mark.parametrize('name', list(OTHER_RECIPES))
    def test_numbers(self, name):
        config = load(f'{ADAPTER}-{name}.py')
        wrapper, vit = config.optim_wrapper, config.model.backbone.vit
        (test,) = (step for step in config.val_dataloader.dataset.pipeline if step.type == 'Resize')
        decays = [step for step in config.param_scheduler if step.type != 'LinearLR']
        assert OTHER_RECIPES[name] == (
            wrapper.paramwise_cfg.get('layer_decay_rate'),
            vit.drop_path_rate,
            wrapper.clip_grad.max_norm if 'clip_grad' in wrapper else None,
            config.auto_scale_lr.base_batch_size,
            tuple(test.scale),
            wrapper.type,
            config.train_cfg.get('max_epochs') or config.train_cfg.max_iters,
            decays[0].get('milestones', 'cosine') if decays else None,
        )
        assert (wrapper.optimizer.lr, wrapper.optimizer.weight_decay) == (1e-4, 0.05)
        # Pixels of ImageNet for all, of AugReg and BEiT too, as in the released configs.
        assert config.model.data_preprocessor.mean[0] == IMAGENET
        warm_ups = [(step.start_factor, step.end) for step in config.param_scheduler if step.type == 'LinearLR']
        assert warm_ups == ([] if 'panoptic' in name else [(0.001, 2000 if '-mae_' in name else 500)])
        averaged = [hook.momentum for hook in config.get('custom_hooks', []) if hook.type == 'EMAHook']
        assert averaged == ([1e-4] if 'panoptic' in name or 'objects365' in name else [])

    @pytest.mark.parametrize('start', ['l-augreg_htc_ms-3x', 'l-beitv2_htc_ms-3x', 'l-beitv2_htc_objects365-20k'])
    def test_htc(self, start):
        model = load(f'{ADAPTER}-{start}_coco.py').model
        attention, pyramid = model.neck
        assert (attention.num_heads, attention.drop_path_rate) == (32, 0.4 if 'augreg' in start else 0.3)
        objects365 = 'objects365' in start
        assert ('norm_cfg' in pyramid) == objects365
        for head, stds in zip(model.roi_head.bbox_head, (0.1, 0.05, 0.033), strict=True):
            assert head.bbox_coder.target_stds[0] == stds
            assert head.reg_class_agnostic
            assert head.loss_bbox == (
                dict(type='GIoULoss', loss_weight=10.0)
                if objects365
                else dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0)
            )
        assert [stage.assigner.pos_iou_thr for stage in model.train_cfg.rcnn] == [0.5, 0.6, 0.7]
        assert not any('match_low_quality' in stage.assigner for stage in model.train_cfg.rcnn)
        assert model.test_cfg.rcnn.max_per_img == (300 if 'augreg' in start else 100)

    def test_proposals_of_sparse_rcnn(self):
        options = options_by_name(f'{ADAPTER}-s-deit_sparse-rcnn_ms-3x_coco')
        assert options['rpn_head.init_proposal_features.weight'] == (pytest.approx(2.5e-5), pytest.approx(1e-4))
        assert options['roi_head.bbox_head.5.fc_cls.weight'] == (1e-4, 0.05)

    def test_layers_of_htc(self):
        options = options_by_name(f'{ADAPTER}-l-beitv2_htc_ms-3x_coco')
        assert options['neck.0.block.attn.qkv.weight'] == (1e-4, 0.05)
        assert options['neck.0.final_norm.weight'] == (1e-4, 0.0)
        assert options['backbone.vit.blocks.23.attn.qkv.weight'][0] == pytest.approx(9e-5)


class TestWeightDecayAndRates:
    def test_deit_detector(self):
        """Spared are names with 'norm' or 'bias' and the embeddings, not the norms of the stem; one rate for all."""
        options = options_by_name(f'{COMER}-t-deit_mask-rcnn_ms-3x_coco')
        assert {lr for lr, _ in options.values()} == {1e-4}
        for name, (_, decay) in options.items():
            spared = any(part in name for part in ('norm', 'bias', 'level_embed', 'pos_embed'))
            assert decay == (0.0 if spared else 0.05), name
        assert options['backbone.spm.stem.1.weight'][1] == 0.05
        assert options['backbone.vit.blocks.0.ls1.gamma'][1] == 0.05
        assert options['backbone.norm1.weight'][1] == 0.0

    @pytest.mark.parametrize(
        ('name', 'lr', 'decay', 'rate', 'layers'),
        [
            (f'{COMER}-s-dinov2_mask-rcnn_ms-3x_coco', 1e-4, 0.05, 0.7, 12),
            (f'{COMER}-t-deit_upernet_160k_ade20k-512', 1.2e-4, 0.01, 0.95, 12),
            (f'{ADAPTER}-l-beitv2_mask2former_80k_ade20k-896', 2e-5, 0.05, 0.9, 24),
        ],
    )
    def test_layer_decay(self, name, lr, decay, rate, layers):
        """Nothing of one dimension is decayed; what is beside the ViT has the full rate."""
        options = options_by_name(name)
        for parameter, value in model_of(name).named_parameters():
            assert options[parameter][1] == (0.0 if value.ndim == 1 else decay), parameter
        factors = {
            'backbone.vit.patch_embed.proj.weight': rate ** (layers + 1),
            'backbone.vit.blocks.0.attn.qkv.weight': rate**layers,
            f'backbone.vit.blocks.{layers - 1}.mlp.fc2.bias': rate,
            'backbone.level_embed': 1.0,
            'backbone.spm.stem.0.weight': 1.0,
            'backbone.up.weight': 1.0,
            'backbone.norm4.bias': 1.0,
        }
        for parameter, factor in factors.items():
            assert options[parameter][0] == pytest.approx(lr * factor), parameter
        assert {o for p, o in options.items() if p.startswith('backbone.interactions.')} == {(lr, 0.0), (lr, decay)}

    def test_queries_have_the_lowest_rate(self):
        """0.9 to the power of 25 for L (`segmentation/mmcv_custom` of ViT-Adapter)."""
        options = options_by_name(f'{ADAPTER}-l-beitv2_mask2former_80k_ade20k-896')
        lowest = pytest.approx(2e-5 * 0.07179, rel=1e-4)
        assert options['decode_head.query_embed.weight'] == (lowest, 0.05)
        assert options['decode_head.query_feat.weight'] == (lowest, 0.05)
        assert options['decode_head.level_embed.weight'] == (lowest, 0.05)
        assert options['decode_head.cls_embed.bias'] == (lowest, 0.0)
        assert options['decode_head.mask_embed.4.weight'] == (lowest, 0.05)
        assert options['decode_head.transformer_decoder.layers.0.ffn.layers.1.weight'] == (2e-5, 0.05)

    def test_head_of_augreg_base(self):
        options = options_by_name(f'{ADAPTER}-b-augreg_upernet_160k_ade20k-512')
        assert options['decode_head.conv_seg.weight'] == (pytest.approx(2e-4), 0.01)
        assert options['decode_head.conv_seg.bias'] == (2e-5, 0.0)
        assert options['backbone.vit.patch_embed.proj.weight'] == (2e-5, 0.01)


def test_warm_up_and_polynomial_decay_multiply():
    """As in mmcv 1: the decay counts from iteration 0 (the values below are its formula)."""
    config = load(f'{COMER}-s-deit_upernet_160k_ade20k-512.py')
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=6e-5)
    kinds = {'LinearLR': LinearLR, 'PolyLR': PolyLR, 'MultiStepLR': MultiStepLR}
    schedulers = [
        kinds[step.type](optimizer, **{key: value for key, value in step.items() if key != 'type'})
        for step in config.param_scheduler
    ]
    rates = []
    for _ in range(3001):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(6e-5 * 1e-6)
    assert rates[750] == pytest.approx(6e-5 * 0.5 * (1 - 750 / 160_000), rel=2e-3)
    assert rates[3000] == pytest.approx(6e-5 * (1 - 3000 / 160_000), rel=1e-4)


@pytest.mark.parametrize(('head', 'twin'), [('mask-rcnn', 'vitdet-tiny'), ('upernet', 'vit-tiny')])
@pytest.mark.parametrize('stem', list(BACKBONES))
def test_shapes_have_the_recipe_of_their_twin(stem, head, twin):
    ours, other = load(f'{stem}-tiny_{head}_shapes.py'), load(f'quickstart/{twin}_{head}_shapes.py')
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'val_dataloader', 'randomness'):
        assert ours[part] == other[part], part
    vit = ours.model.backbone.vit
    sizes = ('embed_dims', 'num_layers', 'num_heads', 'rel_pos', 'global_blocks')
    assert [vit[size] for size in sizes] == [other.model.backbone[size] for size in sizes]
    assert vit.window_size * 16 == other.model.backbone.window_size * other.model.backbone.patch_size
