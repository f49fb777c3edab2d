"""The recipes of the detection-transfer study and of MIMDet's reproduction are what they say."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import CosineAnnealingLR, LinearLR, build_optim_wrapper
from mmengine.registry import MODELS
from torch import nn

from mmvitdense.models import PlainViT
from tests.configs.shrink import DEPTH, SIDE, WIDTH, shrink
from tests.configs.test_configs import LEAVES, build_batch, build_model, load
from tests.fidelity.agreement import redraw

pytest.importorskip('mmdet')

FOLDER = 'detection_transfer/'
NAMES = [name.removeprefix(FOLDER).split('_')[0] for name in LEAVES if name.startswith(FOLDER)]
RECIPES = {
    # learning rate, weight decay, drop path, epochs
    'vit-fpn-b-random': (1.6e-4, 0.2, 0.1, 400),
    'vit-fpn-b-deit': (8e-5, 0.1, 0.1, 100),
    'vit-fpn-b-mocov3': (1.6e-4, 0.1, 0.1, 100),
    'vit-fpn-b-beit': (8e-5, 0.1, 0.1, 100),
    'vit-fpn-b-mae': (8e-5, 0.1, 0.1, 100),
    'vit-fpn-l-random': (1.6e-4, 0.2, 0.3, 400),
    'vit-fpn-l-beit': (8e-5, 0.1, 0.3, 100),
    'vit-fpn-l-mae': (8e-5, 0.1, 0.3, 100),
    'benchmarking-window16-b-mae': (8e-5, 0.1, 0.1, 100),
}


def find(model, epochs):
    return load(f'{FOLDER}{model}_mask-rcnn_lsj-{epochs}e_coco.py')


@pytest.fixture(scope='module')
def reproduction():
    with torch.device('meta'):
        return build_model(find('benchmarking-window16-b-mae', 100))


def test_every_recipe_is_here():
    assert set(NAMES) == set(RECIPES)


@pytest.mark.parametrize('name', list(RECIPES))
def test_recipe(name):
    rate, decay, drop_path, epochs = RECIPES[name]
    config = find(name, epochs)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', rate, decay)
    assert config.model.backbone.drop_path_rate == drop_path
    assert config.auto_scale_lr.base_batch_size == 64
    assert_schedule(config, epochs)
    assert 'clip_grad' not in config.optim_wrapper


@pytest.mark.parametrize('epochs', [25, 50])
def test_shorter_schedules(epochs):
    assert_schedule(find('benchmarking-window16-b-mae', epochs), epochs)


def assert_schedule(config, epochs):
    """Epochs of 118 000 images at 64 an iteration, rounded down, and a quarter of one to warm up."""
    iterations = 118_000 * epochs // 64
    assert config.train_cfg.max_iters == iterations == config.param_scheduler[1].end
    assert config.param_scheduler[0].end == round(118_000 / 64 / 4)


def test_learning_rate_over_time():
    """Half a cosine over all iterations, times the warm-up."""
    config = find('benchmarking-window16-b-mae', 25)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=8e-5)
    arguments = [{key: value for key, value in item.items() if key != 'type'} for item in config.param_scheduler]
    schedulers = [LinearLR(optimizer, **arguments[0]), CosineAnnealingLR(optimizer, **arguments[1])]
    total = config.train_cfg.max_iters
    optimizer.step()
    for iteration in range(total):
        if iteration in (0, 100, 460, 461, 10_000, total // 2, total - 1):
            warm = min(0.001 + 0.999 * iteration / 460, 1)
            expected = 8e-5 * warm * (1 + math.cos(math.pi * iteration / total)) / 2
            assert optimizer.param_groups[0]['lr'] == pytest.approx(expected, rel=1e-3, abs=1e-12)
        for scheduler in schedulers:
            scheduler.step()


def test_number_of_parameters_of_the_reproduction(reproduction):
    assert sum(parameter.numel() for parameter in reproduction.parameters()) == 118_674_184


def test_positions_of_the_reproduction(reproduction):
    """One table of relative positions for windows and one for maps; learned positions of the map."""
    vit = reproduction.backbone
    tables = {name: tuple(p.shape) for name, p in vit.named_parameters() if name.endswith('bias_table')}
    assert tables == {
        'window_rel_pos_bias.16.relative_position_bias_table': (961, 12),
        'rel_pos_bias.relative_position_bias_table': (16129, 12),
    }
    assert vit.pos_embed.shape == (1, 4096, 768)
    assert vit.pos_embed.requires_grad
    assert vit.global_blocks == vit.out_indices == (2, 5, 8, 11)
    assert {block.attn.window_size for block in vit.blocks} == {0, 16}
    assert vit.blocks[0].norm1.eps == 1e-6


def test_windows_of_the_study():
    for size in 'bl':
        with torch.device('meta'):
            vit = build_model(find(f'vit-fpn-{size}-mae', 100)).backbone
        assert {block.attn.window_size for block in vit.blocks} == {0, 14}
        quarter = vit.num_layers // 4
        assert vit.global_blocks == vit.out_indices == tuple(quarter * i - 1 for i in (1, 2, 3, 4))


def test_norms_of_neck_and_heads(reproduction):
    found = {
        re.sub(r'\d+', '*', name.rpartition('.')[0])
        for name, module in reproduction.named_modules()
        if isinstance(module, nn.SyncBatchNorm)
    }
    assert found == {
        'neck.*.lateral_convs.*',
        'neck.*.fpn_convs.*',
        'roi_head.bbox_head.shared_convs.*',
        'roi_head.mask_head.convs.*',
    }
    assert len(reproduction.rpn_head.rpn_conv) == 2
    assert not find('vit-fpn-b-mae', 100).model.train_cfg.rcnn.assigner.match_low_quality


def test_what_is_not_decayed(reproduction):
    """Norms and tables of positions; biases are decayed. One learning rate for all."""
    wrapper = find('benchmarking-window16-b-mae', 100).optim_wrapper
    groups = build_optim_wrapper(reproduction, {**wrapper, 'type': 'OptimWrapper'}).optimizer.param_groups
    exempt = {id(parameter) for group in groups if group['weight_decay'] == 0 for parameter in group['params']}
    expected = {
        name
        for name, _ in reproduction.named_parameters()
        if re.search(r'pos_embed$|bias_table$|\.norm[12]\.|\.bn\.|^neck\.0\.resample\.0\.1\.', name)
    }
    assert {name for name, parameter in reproduction.named_parameters() if id(parameter) in exempt} == expected
    assert {group['weight_decay'] for group in groups} == {0.0, 0.1}
    assert {group['lr'] for group in groups} == {8e-5}


def test_padding_of_the_study_and_of_the_reproduction(shapes_root):
    """Zeros after normalisation, and 128 before it, in training and in testing."""
    for name, grey in (('vit-fpn-b-mae', None), ('benchmarking-window16-b-mae', 128)):
        small = shrink(find(name, 100), shapes_root)
        preprocessor = build_model(small).data_preprocessor
        wanted = torch.zeros(3, 1, 1) if grey is None else (grey - preprocessor.mean) / preprocessor.std
        for loader, training in (('train_dataloader', True), ('val_dataloader', False)):
            data = preprocessor(build_batch(small, loader, 2), training=training)
            assert data['inputs'].shape == (2, 3, SIDE, SIDE)
            for image, sample in zip(data['inputs'], data['data_samples']):
                height, width = sample.img_shape
                assert training or (height, width) == (SIDE * 96 // 128, SIDE)
                for padding in (image[:, height:], image[:, :, width:]):
                    torch.testing.assert_close(padding, wanted.expand_as(padding))


class TestInitialisations:
    """Small files named as the published ones start the models as the configs say."""

    PRETRAINED = {
        'embed_dims': WIDTH,
        'num_layers': DEPTH,
        'num_heads': 3,
        'feedforward_channels': 2 * WIDTH,
        'img_size': 224,
        'with_cls_token': True,
        'final_norm': 'last',
    }

    @pytest.fixture
    def start(self, tmp_path, shapes_root):
        def build(name, weights):
            torch.save(weights, tmp_path / 'weights.pth')
            config = find(name, 100)
            cfgs = config.model.backbone.init_cfg
            first, *others = cfgs if isinstance(cfgs, list) else [cfgs]
            backbone = shrink(config, shapes_root).model.backbone
            backbone.init_cfg = [{**first, 'checkpoint': str(tmp_path / 'weights.pth')}, *others]
            vit = MODELS.build(backbone)
            vit.init_weights()
            return vit

        return build

    @pytest.mark.parametrize('name', ['mae', 'deit', 'mocov3'])
    def test_positions_are_resized_and_relative_ones_start_at_zero(self, start, name):
        source = redraw(PlainViT(**self.PRETRAINED))
        weights = {'model': source.state_dict()}
        if name == 'mocov3':
            named = {f'module.base_encoder.{n}': tensor for n, tensor in source.state_dict().items()}
            momentum = {f'module.momentum_encoder.{n}': -tensor for n, tensor in source.state_dict().items()}
            weights = {'state_dict': {**momentum, **named}}
        vit = start(f'vit-fpn-b-{name}', weights)
        table = source.pos_embed[:, 1:].detach().unflatten(1, (14, 14)).permute(0, 3, 1, 2)
        expected = F.interpolate(table, size=(4, 4), mode='bicubic').flatten(2).transpose(1, 2)
        torch.testing.assert_close(vit.pos_embed.detach(), expected)
        assert_blocks_equal(vit, source)
        tables = [p for n, p in vit.named_parameters() if n.endswith('bias_table')]
        assert len(tables) == 2
        assert not any(table.any() for table in tables)

    @pytest.mark.parametrize('size', ['b', 'l'])
    def test_beit(self, start, size):
        """Both tables from the one of the pre-training; absolute positions at random, LayerScale, keys without bias."""
        transformers = pytest.importorskip('transformers')
        config = transformers.BeitConfig(
            hidden_size=WIDTH,
            num_hidden_layers=DEPTH,
            num_attention_heads=3,
            intermediate_size=2 * WIDTH,
            use_shared_relative_position_bias=True,
            use_mask_token=True,
            vocab_size=16,
        )
        source = redraw(transformers.BeitForMaskedImageModeling(config)).state_dict()
        (shared,) = (tensor for name, tensor in source.items() if name.endswith('relative_position_bias_table'))
        vit = start(f'vit-fpn-{size}-beit', source)
        weights = vit.state_dict()
        assert torch.equal(weights['window_rel_pos_bias.14.relative_position_bias_table'], shared[:-3])
        whole = weights['rel_pos_bias.relative_position_bias_table']
        torch.testing.assert_close(whole[len(whole) // 2], shared[:-3][27 * 27 // 2])
        (gain,) = (tensor for name, tensor in source.items() if name.endswith('.2.lambda_1'))
        assert torch.equal(weights['blocks.2.ls1.gamma'], gain)
        assert weights['blocks.0.attn.qkv.bias'][WIDTH : 2 * WIDTH].any() == 0
        assert vit.blocks[0].attn.without_key_bias
        assert vit.pos_embed.std().item() == pytest.approx(0.02, rel=0.2)

    def test_the_reproduction(self, start):
        """Row first, at the grid of the model."""
        source = redraw(PlainViT(**self.PRETRAINED))
        vit = start('benchmarking-window16-b-mae', {'model': source.state_dict()})
        assert_blocks_equal(vit, source)
        first = vit.pos_embed[0, 1 * 4 + 2, :: WIDTH // 4]
        torch.testing.assert_close(first.detach(), torch.tensor([math.sin(1), math.cos(1), math.sin(2), math.cos(2)]))


def assert_blocks_equal(vit, source):
    mine = vit.state_dict()
    blocks = {name: tensor for name, tensor in source.state_dict().items() if name.startswith('blocks.')}
    assert all(torch.equal(mine[name], tensor) for name, tensor in blocks.items())
