"""Every config loads, is listed, and trains and predicts in small; the published recipes are what they say."""

import copy
import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS, MODELS, DefaultScope

from tests.configs.shrink import SIDE, image_side, shrink

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py') if '_base_' not in path.parts)
assert LEAVES


@functools.cache
def load(name):
    return Config.fromfile(ROOT / name)


def build_model(config):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model)


def build_batch(config, loader, count):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        dataset = DATASETS.build(config[loader].dataset)
    samples = (dataset[index % len(dataset)] for index in range(count))
    return pseudo_collate(list(samples))


@pytest.mark.parametrize('name', LEAVES)
class TestEveryConfig:
    @pytest.fixture
    def small(self, name, shapes_root):
        return shrink(load(name), shapes_root)

    def test_a_name_without_dots_that_a_metafile_lists(self, name):
        """mmengine finds ``mmvitdense::family/config.py`` by the metafiles, and stumbles over dots."""
        assert '.' not in Path(name).stem
        metafile = yaml.safe_load((ROOT / name).with_name('metafile.yml').read_text())
        listed = [model['Config'] for model in metafile['Models']]
        assert listed.count(f'configs/{name}') == 1

    def test_it_makes_the_package_known(self, name):
        config = load(name)
        assert 'mmvitdense' in config.custom_imports.imports
        assert config.default_scope in ('mmdet', 'mmseg')

    def test_a_training_step(self, small):
        """The losses are finite, reach the first layer, and an optimizer as in the config lowers them."""
        model = revert_sync_batchnorm(build_model(small)).train()
        with DefaultScope.overwrite_default_scope(small.default_scope):
            optimizer = build_optim_wrapper(model, {**small.optim_wrapper, 'type': 'OptimWrapper'})
        data = model.data_preprocessor(build_batch(small, 'train_dataloader', 2), training=True)
        losses = []
        for _ in range(2):
            torch.manual_seed(0)  # samples of anchors, dropout and drop path
            loss, _ = model.parse_losses(model(**data, mode='loss'))
            losses.append(loss.item())
            optimizer.backward(loss)
            grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
            assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
            assert grads['backbone.patch_embed.proj.weight'].any()
            optimizer.step()
            optimizer.zero_grad()
        assert losses[1] < losses[0]

    def test_predictions(self, small):
        model = revert_sync_batchnorm(build_model(small)).eval()
        with torch.no_grad():
            results = model.val_step(build_batch(small, 'val_dataloader', 2))
        assert len(results) == 2
        for result in results:
            if small.default_scope == 'mmdet':
                predicted = result.pred_instances
                assert predicted.masks.shape == (len(predicted), 96, 128)
                assert predicted.bboxes.shape == (len(predicted), 4)
                assert (predicted.bboxes >= 0).all()
                assert (predicted.bboxes <= torch.tensor([128.0, 96.0, 128.0, 96.0])).all()
            else:
                assert result.pred_sem_seg.data.shape == (1, 96, 128)
                assert result.pred_sem_seg.data.max() < small.model.decode_head.num_classes


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
        optimizer = build_optim_wrapper(model, {**config.optim_wrapper, 'type': 'OptimWrapper'}).optimizer
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
        assert (model.train_cfg.rpn.allowed_border, model.train_cfg.rpn.assigner.min_pos_iou) == (-1, 0)
        assert model.rpn_head.anchor_generator.scales == [8]
        assert model.rpn_head.anchor_generator.strides == [4, 8, 16, 32, 64]
        assert not model.train_cfg.rcnn.assigner.match_low_quality
        assert model.train_cfg.rpn_proposal.max_per_img == model.test_cfg.rpn.max_per_img == 1000
        assert (model.rpn_head.loss_bbox.type, model.roi_head.bbox_head.loss_bbox.type) == ('L1Loss', 'L1Loss')
        assert {module.eps for module in build_norms(model)} == {1e-6}

    def test_initial_weights(self, config):
        """Standard deviations, of a detector with so small a ViT that drawing takes no time."""
        small = copy.deepcopy(config)
        small.model.backbone = {'type': 'mmvitdense.PlainViT', 'embed_dims': 8, 'num_layers': 1, 'num_heads': 1}
        small.model.neck.in_channels = 8
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

    def test_images_are_padded_to_a_square_in_training_and_testing(self, config, shapes_root):
        small = shrink(config, shapes_root)
        assert image_side(config) == 1024
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


class TestUPerNet:
    @pytest.mark.parametrize('kind', ['multilevel', 'pyramid'])
    def test_recipe(self, kind):
        (name,) = (name for name in LEAVES if name.startswith(f'vit/vit-b-mae_upernet-{kind}'))
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
