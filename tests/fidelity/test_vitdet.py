"""ViTDet: numbers of detectron2 itself, and the independent implementations in transformers and timm (SAM)."""

from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.checkpoints import convert
from mmvitdense.models import PlainViT, SimpleFeaturePyramid
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_agreement, assert_within
from tests.fidelity.golden import read_golden

SMALL = {'embed_dims': 48, 'num_layers': 4, 'num_heads': 3, 'feedforward_channels': 96, 'patch_size': 8}


class TestDetectron2:
    """Golden files: the official code on random weights, with windows padded and tables resized on both axes."""

    @pytest.fixture(params=['vitdet_window', 'vitdet_convprop'])
    def golden(self, request):
        return read_golden(request.param)

    @staticmethod
    def build(golden, prefix=''):
        kwargs = golden['meta']['kwargs']
        net = kwargs['net']
        vit = PlainViT(
            embed_dims=net['embed_dim'],
            num_layers=net['depth'],
            num_heads=net['num_heads'],
            feedforward_channels=net['embed_dim'] * net['mlp_ratio'],
            img_size=net['img_size'],
            pretrain_img_size=net['pretrain_img_size'],
            patch_size=net['patch_size'],
            drop_path_rate=net['drop_path_rate'],
            pos_embed_cls_slot=net['pretrain_use_cls_token'],
            window_size=net['window_size'],
            global_blocks=[i for i in range(net['depth']) if i not in net['window_block_indexes']],
            rel_pos='decomposed',
            conv_blocks=net['residual_block_indexes'],
            norm_eps=net['norm_eps'],
        )
        neck = SimpleFeaturePyramid(net['embed_dim'], kwargs['out_channels'], kwargs['scale_factors'], num_outs=5)
        model = nn.ModuleDict({'backbone': vit, 'neck': neck}).eval()
        model.load_state_dict(convert({f'{prefix}{name}': tensor for name, tensor in golden['sd'].items()}))
        return model

    @pytest.mark.parametrize('prefix', ['', 'backbone.'], ids=['backbone', 'detector'])
    def test_outputs(self, golden, prefix):
        model = self.build(golden, prefix)
        for grad in (False, True):
            with torch.set_grad_enabled(grad):
                maps = model['backbone'](golden['in']['image'])
                levels = model['neck'](maps)
            outputs = dict(zip(golden['out'], [*maps, *levels]))
            assert list(outputs) == ['last_feat', 'p2', 'p3', 'p4', 'p5', 'p6']
            for name, wanted in golden['out'].items():
                assert_within(outputs[name], wanted, OUTPUTS, name)

    def test_each_block(self, golden):
        vit = self.build(golden)['backbone']
        tokens, grid = vit.embed(golden['in']['image'])
        for index in range(vit.num_layers):
            tokens = vit.run_blocks(tokens, grid, index, index + 1)
            wanted = golden['mid'][f'block{index}'].permute(0, 3, 1, 2)
            assert_within(vit.to_map(tokens, grid), wanted, OUTPUTS, f'block {index}')

    def test_gradients(self, golden):
        model = self.build(golden)
        image = golden['in']['image'].clone().requires_grad_()
        maps = model['backbone'](image)
        outputs = dict(zip(golden['out'], [*maps, *model['neck'](maps)]))
        sum((outputs[name] * golden['cot'][name]).sum() for name in outputs).backward()
        wanted = golden['grad']
        assert_within(image.grad, wanted.pop('image'), GRADIENTS, 'image')
        # The file holds some of the gradients, but the format is told from the whole set of names.
        absent = torch.empty(0)
        wanted = convert({name: wanted.get(name, absent) for name in golden['sd']})
        compared = {name: grad for name, grad in wanted.items() if grad is not absent}
        assert len(compared) == len(golden['meta']['grads']) - 1
        parameters = dict(model.named_parameters())
        for name, grad in compared.items():
            assert_within(parameters[name].grad, grad, GRADIENTS, name)


def _names_of_transformers_vitdet(tensors):
    renames = (
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.projection', 'patch_embed.proj'),
        ('encoder.layer', 'blocks'),
        ('attention', 'attn'),
    )
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in renames:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


class TestTransformersVitDet:
    # Grids: table of positions 7 x 7, tables of the global blocks 10 x 10, windows of 5.
    @pytest.mark.parametrize(
        'size',
        [(48, 64), (104, 88), (80, 80), (24, 120)],
        ids=['tables-shrink', 'tables-grow', 'windows-fit', 'narrow'],
    )
    def test_windows_and_both_positions(self, size):
        self.compare(size, window_size=5, global_blocks=(1, 3), rel_pos='decomposed')

    def test_at_the_native_grid(self):
        self.compare((56, 56), window_size=3, global_blocks=(3,), rel_pos='decomposed', img_size=56)

    def test_convolutional_propagation(self):
        self.compare((48, 64), window_size=4, global_blocks=(), rel_pos='decomposed', conv_blocks=(1, 3))

    def test_global_attention_with_relative_positions_alone(self):
        self.compare((48, 72), pos_embed=None, rel_pos='decomposed')

    def test_no_bias_and_no_relative_positions(self):
        self.compare((48, 64), window_size=5, global_blocks=(1, 3), qkv_bias=False)

    @staticmethod
    def compare(size, img_size=80, **options):
        transformers = pytest.importorskip('transformers')
        ours = PlainViT(**SMALL, img_size=img_size, pretrain_img_size=56, pos_embed_cls_slot=True, **options)
        window = options.get('window_size', 0)
        config = transformers.VitDetConfig(
            hidden_size=SMALL['embed_dims'],
            num_hidden_layers=SMALL['num_layers'],
            num_attention_heads=SMALL['num_heads'],
            mlp_ratio=SMALL['feedforward_channels'] // SMALL['embed_dims'],
            image_size=img_size,
            pretrain_image_size=56,
            patch_size=SMALL['patch_size'],
            qkv_bias=options.get('qkv_bias', True),
            window_size=window,
            window_block_indices=[i for i in range(4) if window and i not in options['global_blocks']],
            residual_block_indices=list(options.get('conv_blocks', ())),
            use_relative_position_embeddings='rel_pos' in options,
            use_absolute_position_embeddings=True,
            layer_norm_eps=1e-6,
        )
        oracle = transformers.VitDetModel(config)
        if 'pos_embed' in options:  # transformers cannot initialise a model without the table
            oracle.embeddings.position_embeddings = None
        image = torch.randn(2, 3, *size)
        assert_agreement(
            ours, oracle, image, _names_of_transformers_vitdet, lambda image: [oracle(image).last_hidden_state]
        )


def _names_of_timm_sam(tensors):
    renamed = {name: tensor for name, tensor in tensors.items() if not name.startswith(('neck.', 'head.'))}
    if 'pos_embed' in renamed:
        renamed['pos_embed'] = renamed['pos_embed'].flatten(1, 2)
    return renamed


class TestTimmSam:
    """timm smooths a position table when it resizes it (antialias, also when it grows), which SAM, ViTDet and MAE do
    not: the table is compared at its own grid, and the tables of relative positions at other grids without it."""

    def test_at_the_native_grid(self):
        self.compare((80, 80), window_size=4, global_blocks=(1, 3))

    @pytest.mark.parametrize('size', [(48, 64), (104, 88)])
    def test_at_other_sizes(self, size):
        self.compare(size, pos_embed=None, window_size=4, global_blocks=(1, 3))

    def test_layer_scale(self):
        self.compare((48, 64), pos_embed=None, window_size=3, global_blocks=(2,), layer_scale_init=1.0)

    @staticmethod
    def compare(size, **options):
        sam = pytest.importorskip('timm.models.vision_transformer_sam')
        ours = PlainViT(**SMALL, img_size=80, out_indices=(1, 3), rel_pos='decomposed', **options)
        oracle = sam.VisionTransformerSAM(
            img_size=80,
            patch_size=SMALL['patch_size'],
            num_classes=0,
            embed_dim=SMALL['embed_dims'],
            depth=SMALL['num_layers'],
            num_heads=SMALL['num_heads'],
            mlp_ratio=SMALL['feedforward_channels'] / SMALL['embed_dims'],
            init_values=options.get('layer_scale_init'),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_abs_pos='pos_embed' not in options,
            use_rel_pos=True,
            window_size=options['window_size'],
            global_attn_indexes=options['global_blocks'],
        )

        def run(image):
            return oracle.forward_intermediates(image, indices=[1, 3], intermediates_only=True)

        assert_agreement(ours, oracle, torch.randn(2, 3, *size), _names_of_timm_sam, run)
