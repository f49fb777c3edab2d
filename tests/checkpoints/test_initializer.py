"""ViTPretrained: weights that a config asks for."""

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope

from mmvitdense.checkpoints import CheckpointError, initializer
from mmvitdense.models import PlainViT, SimpleFeaturePyramid, ViTAdapter
from tests.fidelity.agreement import redraw

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8, 'img_size': 32}


@pytest.fixture
def pretrained(tmp_path):
    """A file as MAE writes it, and its model."""
    model = redraw(PlainViT(**SMALL, with_cls_token=True, final_norm='last'))
    path = tmp_path / 'mae_pretrain.pth'
    torch.save({'model': model.state_dict()}, path)
    return path, model


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(initializer, 'print_log', lambda line, **_: lines.append(line))
    return lines


def build(checkpoint, scope='mmdet', **options):
    config = {
        'type': 'mmvitdense.PlainViT',
        **SMALL,
        'init_cfg': {'type': 'ViTPretrained', 'checkpoint': str(checkpoint)},
        **options,
    }
    with DefaultScope.overwrite_default_scope(scope):
        model = ROOT_MODELS.build(config)
        model.init_weights()
    return model


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmvitdense'])
def test_within_a_scope(pretrained, log, scope):
    path, source = pretrained
    model = build(path, scope)
    assert torch.equal(model.pos_embed, source.pos_embed[:, 1:])
    assert torch.equal(model.blocks[1].mlp.fc2.weight, source.blocks[1].mlp.fc2.weight)
    assert len(log) == 1
    assert log[0].startswith(f'{path} (timm ViT): {len(model.state_dict())} tensors loaded; 3 left over: cls_token, ')


def test_the_name_with_its_scope(pretrained):
    path, source = pretrained
    model = build(path, init_cfg={'type': 'mmvitdense.ViTPretrained', 'checkpoint': path})
    assert torch.equal(model.patch_embed.proj.bias, source.patch_embed.proj.bias)


def test_inside_a_detector(pretrained):
    """The neck starts as it likes, and freezing comes with the weights."""
    mmengine_model = pytest.importorskip('mmengine.model')

    class Detector(mmengine_model.BaseModule):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone
            self.neck = SimpleFeaturePyramid(16, 8)

    path, source = pretrained
    backbone = PlainViT(**SMALL, frozen_stages=1, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(path)})
    detector = Detector(backbone)
    detector.init_weights()
    assert torch.equal(detector.backbone.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert not detector.backbone.blocks[0].attn.qkv.weight.requires_grad


@pytest.mark.parametrize('prefix', ['backbone.', 'backbone.net.'])
def test_the_backbone_of_a_trained_detector(tmp_path, log, prefix):
    options = {'window_size': 2, 'rel_pos': 'decomposed', 'global_blocks': (1,)}
    source = redraw(PlainViT(**SMALL, **options))
    path = tmp_path / 'detector.pth'
    others = ('neck.resample.0.0.weight', 'rpn_head.bias') if prefix == 'backbone.' else ('backbone.simfp_4.0.weight',)
    weights = {f'{prefix}{name}': tensor for name, tensor in source.state_dict().items()}
    torch.save({'state_dict': {**weights, **{name: torch.zeros(2) for name in others}}}, path)
    model = build(path, **options)
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert log[0].endswith(f'{len(weights)} tensors loaded')


def test_a_resized_table_is_told(pretrained, log):
    path, _ = pretrained
    build(path, pretrain_img_size=48)
    assert '1 resized: pos_embed 4x4 -> 6x6' in log[0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'num_layers': 3}, 'lacks 12 weights .*blocks.2'), ({'feedforward_channels': 32}, 'another shape')],
)
def test_an_architecture_that_does_not_fit(pretrained, options, message):
    with pytest.raises(CheckpointError, match=message):
        build(pretrained[0], **options)


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r'gone\.pth does not exist'):
        build(tmp_path / 'gone.pth')


def test_options_unlike_the_pre_training_are_told(pretrained, log):
    path, _ = pretrained
    build(path, norm_eps=1e-5, qkv_bias='qv')
    assert len(log) == 2
    assert "norm_eps is 1e-05, the weights come with 1e-06; qkv_bias is 'qv', the weights come with True" in log[1]


def test_layer_scale_can_be_folded(tmp_path):
    """A model without LayerScale then computes the same."""
    source = redraw(PlainViT(**SMALL, layer_scale_init=1.0)).eval()
    path = tmp_path / 'deit3.pth'
    torch.save({'model': source.state_dict()}, path)
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(path), 'fold_layer_scale': True}
    model = build(path, init_cfg=init_cfg).eval()
    image = torch.randn(1, 3, 32, 40)
    torch.testing.assert_close(model(image)[0], source(image)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match='ls2.gamma'):
        build(path)


def test_patches_of_14_pixels_in_a_vitdet_of_16(tmp_path):
    """As MAE's ViT-H: kernels are resized, positions stay when `pretrain_img_size` is their grid times the patch."""
    small = {**SMALL, 'patch_size': 7, 'img_size': 28}
    source = redraw(PlainViT(**small, with_cls_token=True, final_norm='last'))
    path = tmp_path / 'mae_pretrain_p7.pth'
    torch.save({'model': source.state_dict()}, path)
    vitdet = {'img_size': 128, 'window_size': 4, 'rel_pos': 'decomposed', 'pos_embed_cls_slot': True}
    model = build(path, **vitdet, pretrain_img_size=32)
    assert torch.equal(model.pos_embed, source.pos_embed)
    assert model.patch_embed.proj.weight.shape[-2:] == (8, 8)
    # An image of one colour in each channel gives the same tokens at both sizes.
    image = torch.rand(1, 3, 1, 1)
    ours, theirs = (vit.patch_embed.proj(image.expand(1, 3, side, side)) for vit, side in ((model, 8), (source, 7)))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    resampled = build(path, **vitdet, pretrain_img_size=48)
    assert resampled.pos_embed.shape[1] == 37


def test_weights_that_stay_as_initialised(tmp_path, log):
    """For what the file lacks, and instead of what it has."""
    source = redraw(PlainViT(**SMALL, pos_embed=None, final_norm='last'))
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    with pytest.raises(CheckpointError, match='lacks 1 weights of the model, first pos_embed'):
        build(tmp_path / 'vit.pth')
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth')}
    names = ['pos_embed', 'blocks.0.norm1.weight']
    model = build(None, init_cfg={**init_cfg, 'as_initialized': names})
    assert model.pos_embed.std() > 0.01
    assert (model.blocks[0].norm1.weight == 1).all()
    assert torch.equal(model.blocks[0].norm1.bias, source.blocks[0].norm1.bias)
    assert log[-1].endswith('as initialised: pos_embed, blocks.0.norm1.weight')
    with pytest.raises(ValueError, match=r"as_initialized has 'rope', which are no weights of the model"):
        build(None, init_cfg={**init_cfg, 'as_initialized': ['rope']})


def test_names_for_as_initialized(tmp_path):
    """First parts of names and regular expressions; each has to match something."""
    source = redraw(PlainViT(**SMALL, layer_scale_init=1.0, final_norm='last'))
    torch.save(source.state_dict(), tmp_path / 'vit.pth')
    init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'vit.pth')}
    options = {'layer_scale_init': 0.1, 'final_norm': 'last'}
    names = [r'blocks\.\d+\.ls1', 'norm', 'blocks.1.attn']
    model = build(None, init_cfg={**init_cfg, 'as_initialized': names}, **options)
    fresh = PlainViT(**SMALL, **options).state_dict()
    kept = {'blocks.0.ls1.gamma', 'blocks.1.ls1.gamma', 'norm.weight', 'norm.bias'}
    for name, tensor in model.state_dict().items():
        if name in kept:
            assert torch.equal(tensor, fresh[name]), name
        elif not name.startswith('blocks.1.attn.'):
            assert torch.equal(tensor, source.state_dict()[name]), name
    assert not torch.equal(model.blocks[1].attn.proj.weight, source.blocks[1].attn.proj.weight)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'as_initialized': 'pos_embed'}, r"as_initialized must be a list of names, got 'pos_embed'"),
        ({'as_initialized': ['pos']}, "as_initialized has 'pos', which are no weights of the model"),
        ({'as_initialized': ['bl(ocks']}, 'which is no regular expression'),
        ({'unused': ['register_tokens']}, "unused has 'register_tokens', which are no weights of the file"),
        ({'allow': ['everything']}, r"allow must be some of .*, got \['everything'\]"),
        ({'pos_grid': (0, 3)}, r'pos_grid must be \(rows, columns\)'),
        ({'pos_grid': [4]}, r'pos_grid must be \(rows, columns\)'),
    ],
)
def test_options_that_name_nothing(pretrained, options, message):
    with pytest.raises(ValueError, match=message):
        build(None, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(pretrained[0]), **options})


def test_mmengine_is_told(pretrained, monkeypatch):
    """Its log of the initialisation names the file for what came from there, and nothing else."""
    path, _ = pretrained
    told = {}

    def read(self):
        told.update({name: self._params_init_info[p]['init_info'] for name, p in self.named_parameters()})

    monkeypatch.setattr(PlainViT, '_dump_init_info', read)
    build(path, rel_pos='decomposed')
    loaded = {name for name, text in told.items() if text == f'ViTPretrained: loaded from {path}'}
    others = {name for name in told if 'rel_pos' in name}
    assert loaded == set(told) - others
    assert others
    assert all('The value is the same' in told[name] for name in others)


class TestWithoutDrawing:
    """What a file replaces is not drawn before."""

    def test_nothing_is_drawn_for_a_whole_file(self, pretrained):
        before = torch.get_rng_state()
        file, _ = pretrained
        init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(file)}
        model = PlainViT(**SMALL, with_cls_token=True, final_norm='last', init_cfg=init_cfg)
        assert not model.blocks[0].mlp.fc1.weight.any()
        assert (model.blocks[0].norm1.weight == 1).all()
        model.init_weights()
        assert torch.equal(torch.get_rng_state(), before)
        assert model.blocks[0].mlp.fc1.weight.std() > 0.01

    def test_what_the_file_lacks_is_drawn(self, tmp_path):
        source = redraw(PlainViT(**SMALL))
        torch.save({n: x for n, x in source.state_dict().items() if n != 'pos_embed'}, tmp_path / 'vit.pth')
        init_cfg = {
            'type': 'ViTPretrained',
            'checkpoint': str(tmp_path / 'vit.pth'),
            'as_initialized': ['pos_embed'],
        }
        with torch.device('meta'):
            large = PlainViT(**SMALL, init_cfg=init_cfg)
        for model in (PlainViT(**SMALL, init_cfg=init_cfg), large.to_empty(device='cpu')):
            model.init_weights()
            assert 0.005 < model.pos_embed.std() < 0.05
            assert torch.equal(model.blocks[1].attn.qkv.weight, source.blocks[1].attn.qkv.weight)

    def test_another_initializer_comes_after_the_draw(self):
        drawn = PlainViT(**SMALL, init_cfg={'type': 'Constant', 'layer': 'Conv2d', 'val': 0.25})
        assert drawn.blocks[0].mlp.fc1.weight.any()
        drawn.init_weights()
        assert (drawn.patch_embed.proj.weight == 0.25).all()
        assert drawn.blocks[0].mlp.fc1.weight.any()

    def test_the_file_of_a_whole_adapter(self, tmp_path):
        options = {'deform_num_heads': 2, 'conv_inplane': 4}
        vit = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'img_size': 64, 'layer_scale_init': 1.0}
        source = redraw(ViTAdapter(vit, **options))
        torch.save(source.state_dict(), tmp_path / 'adapter.pth')
        init_cfg = {'type': 'ViTPretrained', 'checkpoint': str(tmp_path / 'adapter.pth')}
        model = ViTAdapter(vit, **options, init_cfg=init_cfg)
        model.init_weights()
        for name, tensor in source.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor), name
