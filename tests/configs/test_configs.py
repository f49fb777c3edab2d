"""Every config loads, is listed, and trains and predicts in small; the published recipes are what they say."""

import copy
import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS, MODELS, PARAM_SCHEDULERS, DefaultScope

from mmvitdense.apis.amp import ONLY_AMP
from mmvitdense.apis.config import unused_notes
from mmvitdense.apis.option_kinds import check_kinds
from mmvitdense.apis.pixels import differing_pixels
from mmvitdense.apis.run_parts import check_parts
from mmvitdense.apis.trial_steps import try_optimizers
from mmvitdense.apis.unread_keys import refuse_unread_keys, refuse_unread_rules
from mmvitdense.checkpoints.zoo import zoo_entries
from tests.configs.shrink import SIDE, image_side, shrink

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
assert LEAVES
CONFIGS_OF_ZOO = [entry.config for entry in zoo_entries()]


@functools.cache
def load(name):
    return Config.fromfile(ROOT / name)


def build_model(config):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model)


def build_initialised(config):
    """As a run builds it: some layers of mmdet hold what was in memory until their weights are initialised."""
    model = revert_sync_batchnorm(build_model(config))
    model.init_weights()
    return model


def build_batch(config, loader, count):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        dataset = DATASETS.build(config[loader].dataset)
    samples = (dataset[index % len(dataset)] for index in range(count))
    return pseudo_collate(list(samples))


def without_amp(optim_wrapper):
    return {**{name: value for name, value in optim_wrapper.items() if name not in ONLY_AMP}, 'type': 'OptimWrapper'}


def depth_in_resnet(name, prefix):
    """Of what stands before the first stage 0, of all else 1."""
    return int(name.startswith(f'{prefix}layer')), 2


# Numbers that lead through the same code, whatever they are.
NUMBERS = (
    *('mean', 'std', 'drop_path_rate', 'lr', 'weight_decay', 'layer_decay_rate', 'num_full_blocks', 'batch_size'),
    *('pretrain_img_size', 'deform_ratio', 'mrfp_ratio'),
)
# {what a config computes in small: the first config of which it is so}
FIRST = {}


def skip_twins(name, small, *parts):
    """Skip a config whose parts differ, made small, in numbers alone from those of one that ran."""
    computed = repr([without_numbers(small.get(part)) for part in ('model', 'default_scope', *parts)])
    if (first := FIRST.setdefault(computed, name)) != name:
        pytest.skip(f'in small the same as {first}')


def without_numbers(part):
    if isinstance(part, dict):
        return sorted((key, without_numbers(value)) for key, value in part.items() if key not in NUMBERS)
    if isinstance(part, list | tuple):
        return [without_numbers(item) for item in part]
    # Whatever has a fraction is a rate, a share or a weight; none at all and the whole may be ways of their own.
    return 'a fraction' if isinstance(part, float) and part not in (0, 1) else part


@pytest.fixture(scope='class')
def small(name, shapes_root):
    return shrink(load(name), shapes_root)


@pytest.fixture(scope='class')
def small_model(small):
    """A function that gives the model of `small`, built when first called; later it is as a test has trained it."""
    return functools.cache(lambda: build_initialised(small))


@pytest.mark.parametrize('name', LEAVES, scope='class')
class TestEveryConfig:
    def test_a_name_without_dots_that_a_metafile_lists(self, name):
        """mmengine finds `mmvitdense::family/config.py` by the metafiles, and stumbles over dots."""
        assert '.' not in Path(name).stem
        assert CONFIGS_OF_ZOO.count(name) == 1

    def test_it_makes_the_package_known(self, name):
        config = load(name)
        assert 'mmvitdense' in config.custom_imports.imports
        assert config.default_scope in ('mmdet', 'mmseg')
        assert unused_notes(config) == [], 'every field is one that something reads'

    def test_the_checks_before_a_run_refuse_nothing(self, name):
        config = load(name)
        check_parts(config)
        refuse_unread_rules(config.optim_wrapper)
        check_kinds(config)

    def test_pixels_are_those_of_the_preset(self, name):
        assert differing_pixels(load(name)) == []

    def test_a_training_step(self, name, small, small_model):
        """The losses are finite, reach the first layer, and an optimizer as in the config lowers them."""
        small.optim_wrapper = without_amp(small.optim_wrapper)
        skip_twins(name, small, 'train_dataloader', 'optim_wrapper', 'find_unused_parameters')
        model = small_model().train()
        refuse_unread_keys(model, small.model)
        with DefaultScope.overwrite_default_scope(small.default_scope):
            # Groups of parameters, each of which torch compares with all before, are slow as dicts of mmengine.
            optimizer = build_optim_wrapper(model, small.optim_wrapper.to_dict())
        try_optimizers(optimizer, small.optim_wrapper)
        data = model.data_preprocessor(build_batch(small, 'train_dataloader', 2), training=True)
        losses, depth = [], getattr(model.backbone, 'get_layer_depth', depth_in_resnet)
        # One step is enough for most; heads that match predictions to objects may match others after it.
        while len(losses) < 6:
            torch.manual_seed(0)  # samples of anchors, dropout and drop path
            loss, _ = model.parse_losses(model(**data, mode='loss'))
            losses.append(loss.item())
            if losses[-1] < losses[0]:
                break
            optimizer.backward(loss)
            grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
            unused = [name for name in grads if grads[name] is None]
            assert bool(unused) == small.get('find_unused_parameters', False), unused
            assert all(grad.isfinite().all() for grad in grads.values() if grad is not None)
            depths = {n: depth(n, 'backbone.')[0] for n in grads if n.startswith('backbone.')}
            first = [name for name, own in depths.items() if own == min(depths.values())]
            embedding = [p for n, p in model.named_parameters() if n.startswith('backbone.') and 'patch_embed' in n]
            assert not any(p.requires_grad for p in embedding) or min(depths.values()) == 0
            # The first matrix of an update by LoRA has none as long as the second is zero.
            assert all(grads[name].any() or name.endswith('.down') for name in first)
            optimizer.step()
            optimizer.zero_grad()
        assert losses[-1] < losses[0]

    def test_predictions(self, name, small, small_model):
        skip_twins(name, small, 'val_dataloader')
        model = small_model().eval()
        windows = []
        if small.default_scope == 'mmseg':
            model.backbone.register_forward_hook(lambda *_: windows.append(1))
        with torch.no_grad():
            results = model.val_step(build_batch(small, 'val_dataloader', 2))
        assert len(windows) > 1 or small.model.get('test_cfg', {}).get('mode') != 'slide', 'images larger than windows'
        assert len(results) == 2
        for result in results:
            if small.model.type in ('mmvitdense.LiFTPretraining', 'mmvitdense.NAFPretraining'):
                assert 0 < result.lift < 2
                assert 0 < result.bilinear < 1
            elif small.default_scope == 'mmdet':
                predicted = result.pred_instances
                if small.model.get('test_cfg', {}).get('panoptic_on'):
                    segments = result.pred_panoptic_seg.sem_seg
                    assert segments.shape == (1, 96, 128)
                    head = small.model.panoptic_head
                    assert (segments % 1000).max() <= head.num_things_classes + head.num_stuff_classes
                if small.model.get('roi_head', {}).get('mask_head') or 'panoptic_head' in small.model:
                    assert predicted.masks.shape == (len(predicted), 96, 128)
                assert predicted.bboxes.shape == (len(predicted), 4)
                if "'clip_border': False" not in str(small.model.to_dict()):  # Sparse R-CNN's boxes reach outside
                    assert (predicted.bboxes >= 0).all()
                    assert (predicted.bboxes <= torch.tensor([128.0, 96.0, 128.0, 96.0])).all()
            else:
                assert result.pred_sem_seg.data.shape == (1, 96, 128)
                assert result.pred_sem_seg.data.max() < small.model.decode_head.num_classes


BOXES = ('faster-rcnn', 'retinanet', 'atss', 'gfl', 'dino')


@pytest.mark.parametrize('name', [name for name in LEAVES if re.search(f'_({"|".join(BOXES)})[_-]', name)])
def test_heads_without_masks_ask_for_none(name):
    """Own data with boxes alone then needs no change; masks that are asked for and missing end a run."""
    config = load(name)
    for split in ('train', 'val', 'test'):
        assert "'with_mask': True" not in str(config[f'{split}_dataloader'].dataset.to_dict())
        assert split == 'train' or config[f'{split}_evaluator'].metric == 'bbox'


VITDET = {
    # size and data: iterations, milestones, warm-up, learning rate, layer decay, drop path
    ('b', 'coco'): (184_375, [163_889, 177_546], 250, 1e-4, 0.7, 0.1),
    ('l', 'coco'): (184_375, [163_889, 177_546], 250, 1e-4, 0.8, 0.4),
    ('h', 'coco'): (138_281, [122_916, 133_159], 188, 1e-4, 0.9, 0.5),
    ('b', 'lvis-v1'): (156_250, [138_889, 150_463], 250, 2e-4, 0.7, 0.1),
    ('l', 'lvis-v1'): (156_250, [138_889, 150_463], 250, 2e-4, 0.8, 0.4),
    ('h', 'lvis-v1'): (156_250, [138_889, 150_463], 250, 1e-4, 0.9, 0.4),
}
# Of the detectors on COCO: parameters and tensors, of which an official checkpoint has as many.
TOTALS = {
    ('b', 'mask-rcnn'): (110_895_792, 245),
    ('l', 'mask-rcnn'): (330_684_656, 413),
    ('h', 'mask-rcnn'): (661_203_760, 525),
    ('b', 'cascade-mask-rcnn'): (141_160_990, 281),
    ('l', 'cascade-mask-rcnn'): (360_949_854, 449),
    ('h', 'cascade-mask-rcnn'): (691_468_958, 561),
}


@pytest.mark.parametrize('kind', ['mask-rcnn', 'cascade-mask-rcnn'])
@pytest.mark.parametrize(('size', 'data'), list(VITDET))
class TestViTDet:
    @pytest.fixture
    def config(self, size, kind, data):
        epochs = '75e' if (size, data) == ('h', 'coco') else '100e'
        return load(f'vitdet/vitdet-{size}-mae_{kind}_lsj-{epochs}_{data}.py')

    @pytest.fixture
    def model(self, config):
        with torch.device('meta'):
            return build_model(config)

    def test_size_of_the_model(self, model, size, kind, data):
        parameters, tensors = TOTALS[size, kind]
        if data == 'lvis-v1':  # 1203 classes instead of 80, and no row for background
            rows = 1203 - 81
            regression = 0 if kind.startswith('cascade') else 4 * (1203 - 80)
            heads = 3 if kind.startswith('cascade') else 1
            parameters += (heads * rows + regression) * 1025 + (1203 - 80) * 257
        assert sum(parameter.numel() for parameter in model.parameters()) == parameters
        assert len(model.state_dict()) == tensors

    def test_layer_decay(self, config, model, size):
        """The learning rates of the published layer numbers: r to the power of L + 1 - id, with r to the 1 last."""
        optimizer = build_optim_wrapper(model, {**config.optim_wrapper, 'type': 'OptimWrapper'}).optimizer
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        base, rate = config.optim_wrapper.optimizer.lr, config.optim_wrapper.paramwise_cfg.layer_decay_rate
        depth = {'b': 12, 'l': 24, 'h': 32}[size]
        factors = {names[id(p)]: group['lr'] / base for group in optimizer.param_groups for p in group['params']}
        for name, factor in factors.items():
            block = re.match(r'backbone\.blocks\.(\d+)\.', name)
            if name.startswith(('backbone.pos_embed', 'backbone.patch_embed')):
                layer = 0
            else:
                layer = int(block[1]) + 1 if block else depth + 1
            assert factor == pytest.approx(rate ** (depth + 1 - layer)), name
        embedding = {'b': 0.00969, 'l': 0.00378, 'h': 0.0309}[size]
        assert factors['backbone.pos_embed'] == pytest.approx(embedding, rel=1e-3)

    def test_schedule(self, config, size, data):
        iterations, milestones, warm_up, lr, rate, drop_path = VITDET[size, data]
        assert config.train_cfg.max_iters == second_end(config) == iterations
        assert config.train_cfg.val_interval == (30_000 if data == 'lvis-v1' else 5_000)
        first, second = config.param_scheduler
        assert (first.type, first.start_factor, first.end) == ('LinearLR', 0.001, warm_up)
        assert (second.type, second.milestones, second.gamma) == ('MultiStepLR', milestones, 0.1)
        assert not first.by_epoch
        assert not second.by_epoch
        assert config.model.backbone.drop_path_rate == drop_path
        optimizer = config.optim_wrapper.optimizer
        assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', lr, 0.1)
        assert tuple(optimizer.betas) == (0.9, 0.999)
        assert config.optim_wrapper.paramwise_cfg.layer_decay_rate == rate
        assert config.auto_scale_lr.base_batch_size == 64

    def test_what_is_not_decayed(self, config, model, size):
        """Norms of the ViT and positions for B and L, nothing for H."""
        optimizer = build_optim_wrapper(model, without_amp(config.optim_wrapper)).optimizer
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        exempt = {
            names[id(p)] for group in optimizer.param_groups if group['weight_decay'] == 0 for p in group['params']
        }
        expected = {
            name for name in names.values() if re.search(r'^backbone\.(pos_embed$|blocks\.\d+\.norm[12]\.)', name)
        }
        assert exempt == (set() if size == 'h' else expected)
        assert {group['weight_decay'] for group in optimizer.param_groups} <= {0.0, 0.1}

    def test_heads(self, config, kind, data):
        model = config.model
        assert model.roi_head.bbox_head.get('reg_class_agnostic', False) == kind.startswith('cascade')
        test = model.test_cfg.rcnn
        assert (test.score_thr, test.max_per_img) == ((0.02, 300) if data == 'lvis-v1' else (0.05, 100))
        assert test.nms.iou_threshold == 0.5
        assert (model.train_cfg.rpn.allowed_border, model.train_cfg.rpn.assigner.min_pos_iou) == (-1, 1e-6)
        assert model.rpn_head.anchor_generator.scales == [8]
        assert model.rpn_head.anchor_generator.strides == [4, 8, 16, 32, 64]
        assert not model.train_cfg.rcnn.assigner.match_low_quality
        assert model.train_cfg.rpn_proposal.max_per_img == model.test_cfg.rpn.max_per_img == 1000
        assert (model.rpn_head.loss_bbox.type, model.roi_head.bbox_head.loss_bbox.type) == ('L1Loss', 'L1Loss')
        assert {module.eps for module in build_norms(model)} == {1e-6}

    def test_initial_weights(self, config, size, kind, data):
        """Standard deviations, of a detector with so small a ViT that drawing takes no time."""
        small = copy.deepcopy(config)
        small.model.backbone = {'type': 'mmvitdense.PlainViT', 'embed_dims': 8, 'num_layers': 1, 'num_heads': 1}
        small.model.neck.in_channels = 8
        skip_twins(f'{size}-{kind}-{data}', small)
        model = build_model(small)
        model.init_weights()
        heads = model.roi_head.bbox_head
        expected = {model.rpn_head.rpn_conv[1].conv: 0.01, model.rpn_head.rpn_cls: 0.01, model.rpn_head.rpn_reg: 0.01}
        expected[model.roi_head.mask_head.conv_logits] = 0.001
        expected[model.roi_head.mask_head.convs[0].conv] = (2 / (9 * 256)) ** 0.5
        for head in heads if isinstance(heads, torch.nn.ModuleList) else [heads]:
            expected |= {head.fc_cls: 0.01, head.fc_reg: 0.001, head.shared_fcs[0]: 12544**-0.5}
            expected[head.shared_convs[3].conv] = (2 / (9 * 256)) ** 0.5
        for layer, std in expected.items():
            assert layer.weight.std().item() == pytest.approx(std, rel=0.1), layer
            assert layer.bias is None or layer.bias.eq(0).all()

    def test_images_are_padded_to_a_square_in_training_and_testing(self, config, shapes_root, size, kind, data):
        small = shrink(config, shapes_root)
        assert image_side(config) == 1024
        images = {**small, 'model': small.model.data_preprocessor}
        skip_twins(f'{size}-{kind}-{data}', images, 'train_dataloader', 'val_dataloader')
        preprocessor = build_model(small).data_preprocessor
        for loader, training in (('train_dataloader', True), ('val_dataloader', False)):
            data = preprocessor(build_batch(small, loader, 2), training=training)
            assert data['inputs'].shape == (2, 3, SIDE, SIDE)
            for image, sample in zip(data['inputs'], data['data_samples']):
                height, width = sample.img_shape
                assert not image[:, height:].any()
                assert not image[:, :, width:].any()
            assert training or sample.img_shape == (SIDE * 96 // 128, SIDE)

    def test_large_scale_jitter(self, config):
        steps = [step.type for step in config.train_dataloader.dataset.pipeline]
        assert steps == [
            'LoadImageFromFile',
            'LoadAnnotations',
            'RandomFlip',
            'RandomResize',
            'RandomCrop',
            'FilterAnnotations',
            'PackDetInputs',
        ]
        resize, crop = config.train_dataloader.dataset.pipeline[3:5]
        assert (tuple(resize.scale), tuple(resize.ratio_range), resize.keep_ratio) == ((1024, 1024), (0.1, 2.0), True)
        assert config.train_dataloader.dataset.filter_cfg.filter_empty_gt
        assert (tuple(crop.crop_size), crop.crop_type, crop.recompute_bbox) == ((1024, 1024), 'absolute', True)


class TestLVIS:
    @pytest.fixture(params=['mask-rcnn', 'cascade-mask-rcnn'])
    def config(self, request):
        return load(f'vitdet/vitdet-b-mae_{request.param}_lsj-100e_lvis-v1.py')

    def test_long_tail(self, config):
        loader = config.train_dataloader
        assert loader.dataset.type == config.val_dataloader.dataset.type == 'LVISV1Dataset'
        assert (loader.sampler.type, loader.sampler.threshold) == ('mmvitdense.RepeatFactorSampler', 0.001)
        assert config.model.roi_head.bbox_head.loss_cls == {'type': 'mmvitdense.FederatedLoss'}
        assert config.model.roi_head.mask_head.num_classes == config.model.roi_head.bbox_head.num_classes == 1203
        assert [hook.type for hook in config.custom_hooks] == ['mmvitdense.ClassCountsHook']
        assert config.test_evaluator.type == 'LVISMetric'

    def test_sampler_and_hook_on_a_data_set_of_mmdet(self, config, shapes_root):
        small = shrink(config, shapes_root)
        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build(small.train_dataloader.dataset)
            sampler = DATA_SAMPLERS.build({**small.train_dataloader.sampler, 'dataset': dataset})
            (hook,) = (HOOKS.build(cfg) for cfg in small.custom_hooks)
        assert sampler.repeat_factors.tolist() == [1.0] * len(dataset)  # all classes are in more than 1 of 1000
        model = build_model(small)
        hook.before_train(SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset)))
        annotations = json.loads((shapes_root / 'annotations/instances_training.json').read_text())['annotations']
        shown = {(annotation['image_id'], annotation['category_id']) for annotation in annotations}
        wanted = [sum(category == label + 1 for _, category in shown) for label in range(5)]
        losses = [module for module in model.modules() if type(module).__name__ == 'FederatedLoss']
        assert len(losses) == (3 if 'Cascade' in small.model.roi_head.type else 1)
        for loss in losses:
            assert (loss.class_weights**2).round().tolist() == wanted


def second_end(config):
    """Where the last of the schedulers ends."""
    return config.param_scheduler[-1].end


def build_norms(model):
    """All norms of a detector."""
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
        built = MODELS.build(model)
    return [module for module in built.modules() if 'LayerNorm' in type(module).__name__]


# Parameters of the whole detector, learning or not; learning rates of the stem, the rest of the encoder, all else.
MIMDET = {'b': (127_954_768, 124_753_488, 8e-5, 4e-5, 1.6e-4), 'l': (349_332_080, 345_490_544, 8e-5, 2.2857e-5, 2.8e-4)}


@pytest.mark.parametrize('size', list(MIMDET))
class TestMIMDet:
    @pytest.fixture
    def config(self, size):
        return load(f'mimdet/mimdet-{size}-mae_mask-rcnn_sr050-3x_coco.py')

    @pytest.fixture
    def model(self, config):
        with torch.device('meta'):
            return build_model(config)

    def test_number_of_parameters(self, model, size):
        """Those of the FPN and of the heads add up with those of the backbone to what was published."""
        total, learning, *_ = MIMDET[size]
        assert sum(parameter.numel() for parameter in model.parameters()) == total
        assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == learning

    def test_learning_rates_and_weight_decay(self, config, model, size):
        optimizer = build_optim_wrapper(model, without_amp(config.optim_wrapper)).optimizer
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        _, learning, stem, encoder, others = MIMDET[size]
        seen = 0
        for group in optimizer.param_groups:
            for parameter in filter(lambda p: p.requires_grad, group['params']):
                name = names[id(parameter)]
                own = {'backbone.stem': stem, 'backbone.vit': encoder}.get('.'.join(name.split('.')[:2]), others)
                assert group['lr'] == pytest.approx(own, rel=1e-4), name
                assert group['weight_decay'] == (0.0 if parameter.ndim == 1 or name.endswith('.bias') else 0.1), name
                seen += parameter.numel()
        assert seen == learning

    def test_schedule(self, config, size):
        """Learning rates of the recipe: a warm-up of 468.75 iterations from zero, a tenth at 27 and 33 of 36 rounds."""
        assert config.train_cfg.max_iters == 67_500
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        schedulers = [PARAM_SCHEDULERS.build({**options, 'optimizer': optimizer}) for options in config.param_scheduler]
        rates = []
        for _ in range(61_880):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        assert rates[0] < 1e-5
        assert rates[234] == pytest.approx(0.5, abs=0.002)
        assert rates[469] == pytest.approx(1.0)
        assert (rates[50_624], rates[50_625]) == pytest.approx((1.0, 0.1))
        assert (rates[61_874], rates[61_875]) == pytest.approx((0.1, 0.01))

    def test_ratios(self, size):
        names = [name for name in LEAVES if re.match(f'mimdet/mimdet-{size}-mae_mask-rcnn_sr[0-9]+-3x', name)]
        ratios = {name: load(name).model.backbone for name in names}
        assert sorted(backbone.sample_ratio for backbone in ratios.values()) == [0.25, 0.5, 0.75, 1.0]
        for name, backbone in ratios.items():
            assert f'_sr{int(100 * backbone.sample_ratio):03}-' in name
            assert 'test_sample_ratio' not in backbone
            assert backbone.vit.drop_path_rate == {'b': 0.1, 'l': 0.4}[size]

    def test_sizes_of_training_images(self, config, size):
        """Short sides of the recipe, which leaves out 672 and 704; only crops may have had a longer side."""
        choice = config.train_dataloader.dataset.pipeline[3]
        plain, cropped = choice.transforms
        shorts = [480, 512, 544, 576, 608, 640, 736, 768, 800]
        for resize in (plain[0], cropped[2]):
            assert [tuple(scale) for scale in resize.scales] == [(short, 1333) for short in shorts]
        assert [scale[0] for scale in cropped[0].scales] == [400, 500, 600]
        assert (cropped[1].crop_type, tuple(cropped[1].crop_size)) == ('absolute_range', (384, 600))


class TestUPerNet:
    @pytest.mark.parametrize('kind', ['multilevel', 'pyramid'])
    def test_recipe(self, kind):
        (name,) = (name for name in LEAVES if name.startswith(f'vit/vit-b-mae_upernet-{kind}_160k_ade20k'))
        config = load(name)
        assert config.train_cfg.max_iters == 160_000
        assert config.auto_scale_lr.base_batch_size == 16
        assert config.model.decode_head.num_classes == config.model.auxiliary_head.num_classes == 150
        with torch.device('meta'):
            model = build_model(config)
            model.backbone.init_cfg = None
        maps = model.backbone(torch.empty(1, 3, 512, 512, device='meta'))
        assert len(maps) == {'multilevel': 4, 'pyramid': 1}[kind]
        levels = model.neck(maps)
        assert [level.shape[-1] for level in levels] == [128, 64, 32, 16]
        assert [level.shape[1] for level in levels] == config.model.decode_head.in_channels


HEADS = {
    # config: the one of mmdet with the same head; strides; images an iteration
    'retinanet_lsj-100e': ('retinanet/retinanet_r50_fpn_1x_coco', (8, 16, 32, 64, 128), 64),
    'atss_lsj-100e': ('atss/atss_r50_fpn_1x_coco', (8, 16, 32, 64, 128), 64),
    'gfl_lsj-100e': ('gfl/gfl_r50_fpn_1x_coco', (8, 16, 32, 64, 128), 64),
    'dino-4scale_lsj-50e': ('dino/dino-4scale_r50_8xb2-12e_coco', (8, 16, 32, 64), 16),
    'dino-5scale_lsj-50e': ('dino/dino-5scale_swin-l_8xb2-12e_coco', (4, 8, 16, 32, 64), 16),
    'mask2former-instance_lsj-50e': ('mask2former/mask2former_r50_8xb2-lsj-50e_coco', (4, 8, 16, 32), 16),
    'mask2former-panoptic_lsj-50e': ('mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic', (4, 8, 16, 32), 16),
}


@pytest.mark.parametrize('name', list(HEADS))
class TestHeads:
    @pytest.fixture
    def config(self, name):
        return load(f'vitdet/vitdet-b-mae_{name}_coco.py')

    def test_the_head_is_that_of_mmdet(self, config, name):
        """As built, so that defaults count; what is before the head differs."""
        reference = get_config(f'mmdet::{HEADS[name][0]}.py')
        ours, theirs = (structure(build_head(each.model)) for each in (config, reference))
        if name.startswith('dino'):  # published; that of onedl-mmdetection is twice as wide
            theirs['decoder.ref_point_head.layers.0.weight'] = (256, 512)
        assert ours == theirs
        options = ['num_queries', 'dn_cfg', 'test_cfg']
        for option in options:
            assert plain(config.model.get(option)) == plain(reference.model.get(option))
        losses = [
            {key: plain(value) for key, value in settings_of_head(each.model).items() if key.startswith('loss')}
            for each in (config, reference)
        ]
        assert losses[0] == losses[1]
        for option, value in reference.model.train_cfg.items():
            assert plain(config.model.train_cfg[option]) == plain(value)

    def test_strides(self, config, name):
        with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
            neck = MODELS.build(config.model.neck)
            levels = neck(torch.empty(1, 768, 64, 64))
        assert [level.shape[1] for level in levels] == [256] * len(levels)
        assert tuple(1024 // level.shape[-1] for level in levels) == HEADS[name][1]
        stated = settings_of_head(config.model).get('strides')
        if stated is None:
            stated = settings_of_head(config.model).get('anchor_generator', {}).get('strides', HEADS[name][1])
        assert tuple(stated) == HEADS[name][1]

    def test_recipe(self, config, name):
        assert config.auto_scale_lr.base_batch_size == HEADS[name][2]
        assert config.train_cfg.max_iters == {64: 184_375, 16: 368_750}[HEADS[name][2]]
        assert config.train_dataloader.batch_size == HEADS[name][2] // (16 if HEADS[name][2] == 64 else 8)
        assert config.optim_wrapper.constructor == 'mmvitdense.LayerDecayOptimWrapperConstructor'
        assert config.model.data_preprocessor.pad_size_divisor == 1024
        (resize,) = (step for step in config.train_dataloader.dataset.pipeline if step.type == 'RandomResize')
        assert (tuple(resize.scale), tuple(resize.ratio_range)) == ((1024, 1024), (0.1, 2.0))


@pytest.mark.parametrize(('name', 'count'), [('dino-4scale', 12), ('mask2former-panoptic', 6)])
def test_query_heads_attend_by_our_operator(name, count):
    from mmvitdense.compat import stand_in

    if stand_in.compiled_extension() is not None:
        pytest.skip('a compiled mmcv keeps its own kernel')
    head = build_head(load(f'vitdet/vitdet-b-mae_{name}_lsj-50e_coco.py').model)
    attentions = [part for part in head.modules() if type(part).__name__ == 'MultiScaleDeformableAttention']
    assert len(attentions) == count
    assert {type(part).forward.__module__ for part in attentions} == {'mmvitdense.compat.mmcv_attention'}


def settings_of_head(model):
    return model.get('bbox_head') or model.panoptic_head


def plain(value):
    """Settings without the scope that mmengine notes where a config is inherited from another package."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if key != '_scope_'}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def build_head(model):
    """A detector without its backbone, on no memory."""
    model = copy.deepcopy(model)
    model.neck = None
    model.backbone = {'type': 'mmvitdense.PlainViT', 'embed_dims': 48, 'num_layers': 1, 'num_heads': 3}
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmdet'):
        built = MODELS.build(model)
    del built.backbone
    return built


def structure(model):
    """Names and shapes of parameters; the input projections of Mask2Former's pixel decoder depend on the pyramid."""
    return {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not re.search(r'pixel_decoder\.(input_convs|lateral_convs)\.\d+\.conv\.weight', name)
    }
