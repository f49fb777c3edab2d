"""MIMDet: whole files of MAE, official detectors of both releases name by name, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmvitdense.checkpoints import CheckpointError, convert, detect, initializer
from mmvitdense.checkpoints.formats.mimdet import FORMAT as MIMDET
from mmvitdense.checkpoints.formats.timm_vit import FORMAT as TIMM_VIT
from mmvitdense.models import MIMDet, PlainViT
from tests.fidelity.agreement import redraw

ROOT = Path(__file__).parents[2]
VIT = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 48, 'pretrain_img_size': 48}
SMALL = {
    'vit': VIT,
    'decoder': {'embed_dims': 24, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32},
}


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(initializer, 'print_log', lambda line, **_: lines.append(line))
    return lines


def load(tmp_path, weights, **options):
    """A model that loads `weights` from a file as a config does."""
    path = tmp_path / 'weights.pth'
    torch.save({'model': weights}, path)
    config = {'type': 'mmvitdense.MIMDet', **SMALL, **options}
    config['init_cfg'] = {'type': 'ViTPretrained', 'checkpoint': str(path)}
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config)
    model.init_weights()
    return model


def mae(with_decoder=True):
    """A file of MAE: class token, tables of 3 x 3, four blocks of a decoder with its prediction."""
    encoder = redraw(PlainViT(**VIT, with_cls_token=True, final_norm='last')).state_dict()
    if not with_decoder:
        return encoder
    options = {**SMALL['decoder'], 'num_layers': 4, 'pretrain_img_size': 48}
    decoder = redraw(PlainViT(**options, pos_embed_cls_slot=True, final_norm='last'), seed=1).state_dict()
    renamed = {f'decoder_{name}': tensor for name, tensor in decoder.items() if not name.startswith('patch_embed')}
    others = {'mask_token': (1, 1, 24), 'decoder_embed.weight': (24, 32), 'decoder_embed.bias': (24,)}
    others |= {'decoder_pred.weight': (768, 24), 'decoder_pred.bias': (768,)}
    return {**encoder, **renamed, **{name: torch.randn(shape) for name, shape in others.items()}}


class TestMAE:
    @pytest.mark.parametrize('fill', ['conv_feat', 'mask_token'])
    def test_encoder_and_decoder(self, tmp_path, log, fill):
        source = mae()
        assert detect(source) is TIMM_VIT
        fresh = MIMDet(**SMALL, fill=fill).state_dict()
        torch.manual_seed(0)
        model = load(tmp_path, source, fill=fill)
        found = model.state_dict()
        for name, tensor in source.items():
            if name.startswith(('blocks.', 'norm.', 'pos_embed')):
                assert torch.equal(found[f'vit.{name}'], tensor), name
            elif name.startswith(('decoder_blocks.0', 'decoder_blocks.1', 'decoder_norm', 'decoder_pos_embed')):
                assert torch.equal(found[name.replace('decoder_', 'decoder.')], tensor), name
            elif name.startswith('decoder_embed') or name == 'mask_token' in found:
                assert torch.equal(found[name], tensor), name
        new = {name for name in fresh if name.startswith(('stem.', 'conv_feat_proj.'))}
        line, warning = log
        assert f'{len(fresh) - len(new)} tensors loaded' in line
        assert f'{len(new)} missing: ' in line
        # Two blocks of 12 tensors, class token, patch embedding, prediction, perhaps the mask token.
        assert f'{24 + 1 + 2 + 2 + (fill == "conv_feat")} left over: ' in line
        assert 'norm_eps is 1e-05, the weights come with 1e-06' in warning

    def test_tables_are_resized(self, tmp_path, log):
        source = mae()
        model = load(tmp_path, source, vit={**VIT, 'pretrain_img_size': 80})
        for table, official in ((model.vit.pos_embed, 'pos_embed'), (model.decoder.pos_embed, 'decoder_pos_embed')):
            grid = source[official][0, 1:].T.reshape(1, -1, 3, 3)
            expected = F.interpolate(grid, size=(5, 5), mode='bicubic').flatten(2)[0].T
            torch.testing.assert_close(table[0, 1:], expected)
            assert torch.equal(table[0, 0], source[official][0, 0])
        assert '2 resized: vit.pos_embed 3x3 -> 5x5, decoder.pos_embed 3x3 -> 5x5' in log[0]

    def test_an_encoder_alone_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r'an encoder alone, and MIMDet needs the decoder .*_full\.pth'):
            load(tmp_path, mae(with_decoder=False))

    def test_another_encoder_may_have_the_decoder_untrained(self, tmp_path, log):
        """Whoever wants it gives the weights to the ViT instead of the whole."""
        path, source = tmp_path / 'encoder.pth', mae(with_decoder=False)
        torch.save(source, path)
        model = MIMDet(**{**SMALL, 'vit': {**VIT, 'init_cfg': {'type': 'ViTPretrained', 'checkpoint': str(path)}}})
        decoder = {name: tensor.clone() for name, tensor in model.decoder.state_dict().items()}
        model.init_weights()
        assert torch.equal(model.vit.blocks[1].mlp.fc2.weight, source['blocks.1.mlp.fc2.weight'])
        assert all(torch.equal(tensor, decoder[name]) for name, tensor in model.decoder.state_dict().items())
        assert '3 left over: cls_token, ' in log[0]

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'vit': {**VIT, 'num_layers': 3}}, r'vit of MIMDet: .*lacks 12 weights'),
            ({'vit': {**VIT, 'num_layers': 1}}, r'vit of MIMDet: .*12 weights that the model has not'),
            ({'decoder': {**SMALL['decoder'], 'num_layers': 5}}, 'decoder of MIMDet: .*lacks 12 weights'),
            ({'decoder': {**SMALL['decoder'], 'embed_dims': 32}}, 'decoder of MIMDet: .*another shape'),
        ],
    )
    def test_sizes_that_do_not_fit(self, tmp_path, options, message):
        with pytest.raises(CheckpointError, match=message):
            load(tmp_path, mae(), **options)


def official_names(name):
    """The official name of a parameter of our backbone."""
    for ours, theirs in (
        ('stem.proj.', 'encoder.patch_embed.proj.3.3.'),
        ('vit.', 'encoder.'),
        ('decoder_embed.', 'decoder.decoder_embed.'),
        ('conv_feat_proj.', 'decoder.conv_feat_proj.'),
        ('mask_token', 'decoder.mask_token'),
        ('decoder.', 'decoder.decoder_'),
    ):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    _, _, index, layer, rest = name.split('.')
    return f'encoder.patch_embed.proj.{index}.{("conv", "norm").index(layer)}.{rest}'


def official(model, prefix=''):
    return {f'{prefix}{official_names(name)}': tensor for name, tensor in model.state_dict().items()}


class TestOfficial:
    @pytest.mark.parametrize('prefix', ['', 'backbone.bottom_up.'], ids=['backbone', 'detector'])
    @pytest.mark.parametrize('fill', ['conv_feat', 'mask_token'])
    def test_into_a_backbone(self, tmp_path, log, prefix, fill):
        source = redraw(MIMDet(**SMALL, fill=fill))
        weights = official(source, prefix)
        if prefix:
            weights['proposal_generator.rpn_head.objectness_logits.bias'] = torch.zeros(3)
        model = load(tmp_path, weights, fill=fill)
        for name, tensor in source.state_dict().items():
            assert torch.equal(model.state_dict()[name], tensor), name
        assert f'(MIMDet): {len(source.state_dict())} tensors loaded' in log[0]
        assert 'missing' not in log[0]
        assert 'left over' not in log[0]

    def test_a_stale_mask_token_is_dropped(self, tmp_path, log):
        weights = {**official(redraw(MIMDet(**SMALL))), 'decoder.mask_token': torch.zeros(1, 1, 24)}
        load(tmp_path, weights)
        assert 'left over' not in log[0]

    def test_another_grid(self, tmp_path, log):
        """Release 1.0.0 has tables of 14 x 14 for L and of 50 x 50 for B."""
        weights = official(redraw(MIMDet(**{**SMALL, 'vit': {**VIT, 'pretrain_img_size': 80}})))
        load(tmp_path, weights)
        assert '2 resized: vit.pos_embed 5x5 -> 3x3, decoder.pos_embed 5x5 -> 3x3' in log[0]

    @pytest.mark.parametrize(('of', 'into'), [('conv_feat', 'mask_token'), ('mask_token', 'conv_feat')])
    def test_the_other_release_is_refused(self, tmp_path, of, into):
        with pytest.raises(
            CheckpointError, match=r"MIMDet 1\.0\.0 need fill='mask_token', those of 1\.2\.0 fill='conv"
        ):
            load(tmp_path, official(redraw(MIMDet(**SMALL, fill=of))), fill=into)

    def test_a_stem_of_another_width_is_refused(self, tmp_path):
        weights = official(redraw(MIMDet(**SMALL)))
        weights['encoder.patch_embed.proj.3.3.bias'] = torch.zeros(31)
        with pytest.raises(CheckpointError, match=r'1 weights .*stem\.proj\.bias \(31,\) in the file, \(32,\)'):
            load(tmp_path, weights)

    def test_options_of_the_golden_files(self):
        for release, fill in (('v120', 'conv_feat'), ('v100', 'mask_token')):
            with np.load(ROOT / 'tests' / 'golden' / f'mimdet_{release}_sr050.npz') as file:
                weights = {name[3:]: torch.from_numpy(file[name]) for name in file.files if name.startswith('sd/')}
            options = MIMDET.options(weights, num_heads=3)
            assert options == {
                'vit': {
                    'embed_dims': 48,
                    'num_layers': 4,
                    'num_heads': 3,
                    'feedforward_channels': 192,
                    'pretrain_img_size': 112,
                    'pos_embed_cls_slot': True,
                    'norm_eps': 1e-5,
                },
                'decoder': {
                    'embed_dims': 32,
                    'num_layers': 3,
                    'num_heads': 16,
                    'feedforward_channels': 128,
                    'pos_embed_cls_slot': True,
                    'norm_eps': 1e-5,
                },
                'fill': fill,
            }
            MIMDet(**options).load_state_dict(convert(weights))


class TestOwn:
    @pytest.mark.parametrize('prefix', ['', 'backbone.'])
    def test_a_trained_model(self, tmp_path, prefix):
        source = redraw(MIMDet(**SMALL))
        weights = {f'{prefix}{name}': tensor for name, tensor in source.state_dict().items()}
        if prefix:
            weights['neck.lateral_convs.0.conv.weight'] = torch.zeros(1)
        assert detect(weights) is MIMDET
        assert convert(weights).keys() == weights.keys()
        model = load(tmp_path, weights)
        assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


# embed_dims, blocks, channels into the pyramid, entries of a file of release 1.2.0
SIZES = {'b': (768, 12, (192, 384, 512, 512)), 'l': (1024, 24, (256, 512, 512, 512))}


def official_shapes(size, release):
    """Names and shapes of the official Mask R-CNN, written down from its modules."""
    width, depth, channels = SIZES[size]
    encoder, decoder = 'backbone.bottom_up.encoder', 'backbone.bottom_up.decoder'
    shapes = {f'{encoder}.pos_embed': (1, 2501, width), f'{decoder}.decoder_pos_embed': (1, 2501, 512)}

    def layer(name, *shape, bias=True):
        shapes[f'{name}.weight'] = shape
        if bias:
            shapes[f'{name}.bias'] = (shape[0],)

    def blocks(name, count, width):
        for i in range(count):
            for norm in ('norm1', 'norm2'):
                layer(f'{name}.{i}.{norm}', width)
            layer(f'{name}.{i}.attn.qkv', 3 * width, width)
            layer(f'{name}.{i}.attn.proj', width, width)
            layer(f'{name}.{i}.mlp.fc1', 4 * width, width)
            layer(f'{name}.{i}.mlp.fc2', width, 4 * width)

    def batch_normed(name, *shape):
        layer(name, *shape, bias=False)
        layer(f'{name}.norm', shape[0])
        shapes[f'{name}.norm.running_mean'] = shapes[f'{name}.norm.running_var'] = (shape[0],)
        shapes[f'{name}.norm.num_batches_tracked'] = ()

    for t, (inner, outer) in enumerate(
        [(3, width // 8), (width // 8, width // 4), (width // 4, width // 2), (width // 2, width)]
    ):
        layer(f'{encoder}.patch_embed.proj.{t}.0', outer, inner, 3, 3, bias=False)
        layer(f'{encoder}.patch_embed.proj.{t}.1', outer)
    layer(f'{encoder}.patch_embed.proj.3.3', width, width, 1, 1)
    blocks(f'{encoder}.blocks', depth, width)
    layer(f'{encoder}.norm', width)
    layer(f'{decoder}.decoder_embed', 512, width)
    if release == '1.2.0':
        layer(f'{decoder}.conv_feat_proj', 512, width)
    else:
        shapes[f'{decoder}.mask_token'] = (1, 1, 512)
    blocks(f'{decoder}.decoder_blocks', 4, 512)
    layer(f'{decoder}.decoder_norm', 512)
    for level, inner in zip((2, 3, 4, 5), channels):
        batch_normed(f'backbone.fpn_lateral{level}', 256, inner, 1, 1)
        batch_normed(f'backbone.fpn_output{level}', 256, 256, 3, 3)
    for k in range(2):
        layer(f'proposal_generator.rpn_head.conv.conv{k}', 256, 256, 3, 3)
    layer('proposal_generator.rpn_head.objectness_logits', 3, 256, 1, 1)
    layer('proposal_generator.rpn_head.anchor_deltas', 12, 256, 1, 1)
    for k in range(1, 5):
        batch_normed(f'roi_heads.box_head.conv{k}', 256, 256, 3, 3)
        batch_normed(f'roi_heads.mask_head.mask_fcn{k}', 256, 256, 3, 3)
    layer('roi_heads.box_head.fc1', 1024, 12544)
    layer('roi_heads.box_predictor.cls_score', 81, 1024)
    layer('roi_heads.box_predictor.bbox_pred', 320, 1024)
    shapes['roi_heads.mask_head.deconv.weight'], shapes['roi_heads.mask_head.deconv.bias'] = (256, 256, 2, 2), (256,)
    layer('roi_heads.mask_head.predictor', 80, 256, 1, 1)
    return shapes


@pytest.mark.parametrize(('size', 'release'), [('b', '1.2.0'), ('l', '1.2.0'), ('b', '1.0.0')])
def test_every_name_of_the_detector(size, release):
    """None left over, none missing, every shape equal."""
    pytest.importorskip('mmdet')
    config = Config.fromfile(ROOT / 'configs' / 'mimdet' / f'mimdet-{size}-mae_mask-rcnn_sr050-3x_coco.py')
    config.model.backbone.fill = {'1.2.0': 'conv_feat', '1.0.0': 'mask_token'}[release]
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(config.model)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = official_shapes(size, release)
    weights = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    weights |= {'pixel_mean': torch.zeros(3, 1, 1), 'pixel_std': torch.ones(3, 1, 1)}
    assert detect(weights) is MIMDET
    assert {name: tuple(tensor.shape) for name, tensor in convert(weights).items()} == expected


def test_equal_shapes_keep_their_places():
    official = {name: torch.tensor(float(i)) for i, name in enumerate(official_shapes('b', '1.2.0'))}
    converted = convert(official)
    for ours, theirs in {
        'neck.lateral_convs.2.conv.weight': 'backbone.fpn_lateral4.weight',
        'neck.lateral_convs.3.bn.running_var': 'backbone.fpn_lateral5.norm.running_var',
        'neck.fpn_convs.0.bn.bias': 'backbone.fpn_output2.norm.bias',
        'roi_head.bbox_head.shared_convs.3.bn.running_mean': 'roi_heads.box_head.conv4.norm.running_mean',
        'roi_head.mask_head.convs.0.bn.num_batches_tracked': 'roi_heads.mask_head.mask_fcn1.norm.num_batches_tracked',
        'backbone.stem.stages.2.norm.bias': 'backbone.bottom_up.encoder.patch_embed.proj.2.1.bias',
        'backbone.decoder.norm.weight': 'backbone.bottom_up.decoder.decoder_norm.weight',
        'backbone.vit.norm.weight': 'backbone.bottom_up.encoder.norm.weight',
    }.items():
        assert converted[ours] is official[theirs]
