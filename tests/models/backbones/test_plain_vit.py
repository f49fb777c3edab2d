"""PlainViT: the suite of backbones, and what is particular to it."""

import itertools
import re
import shutil

import pytest
import torch

from mmvitdense.layers import LayerNorm2d
from mmvitdense.layers.positions import bias
from mmvitdense.models import PlainViT, ViTAdapter
from mmvitdense.models.backbones import plain_vit
from tests.fidelity.agreement import assert_within, redraw
from tests.models.backbones.adapters import VIT
from tests.models.suite import BackboneSuite

SMALL = {
    'embed_dims': 32,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 48,
    'patch_size': 8,
    'img_size': 40,
}
VITDET = {**SMALL, 'pretrain_img_size': 24, 'pos_embed_cls_slot': True, 'window_size': 3, 'rel_pos': 'decomposed'}


class TestPlainViT(BackboneSuite):
    model_class = PlainViT
    patch_size = 8
    variants = {
        'plain': SMALL,
        'vitdet': {**VITDET, 'global_blocks': (1, 3)},
        'windows-padded-after-qkv': {**SMALL, 'window_size': 4, 'window_pad': 'qkv', 'global_blocks': (3,)},
        'windows-and-convolutions': {**VITDET, 'global_blocks': (), 'conv_blocks': (1, 3)},
        'prefix-tokens': {
            **SMALL,
            'with_cls_token': True,
            'num_registers': 2,
            'layer_scale_init': 0.5,
            'pre_norm': True,
            'final_norm': 'all',
            'out_indices': (0, 2, 3),
        },
        'prefix-tokens-and-windows': {
            **VITDET,
            'with_cls_token': True,
            'num_registers': 1,
            'global_blocks': (1, 3),
            'final_norm': 'last',
            'out_indices': (1, 3),
            'conv_blocks': (0,),
            'conv_block_kind': 'basic',
            'layer_scale_init': 0.5,
            'pre_norm': True,
            'act': 'quick_gelu',
            'pos_resize': {'by': 'scale'},
        },
        'no-positions-no-bias': {
            **SMALL,
            'pos_embed': None,
            'qkv_bias': False,
            'window_size': 3,
            'global_blocks': (2,),
            'conv_blocks': (2,),
            'conv_block_kind': 'naive',
        },
        'resformer-in-windows': {
            **SMALL,
            'pos_embed': 'sine_conv',
            'value_conv': 3,
            'window_size': 3,
            'global_blocks': (2,),
            'with_cls_token': True,
            'final_norm': 'last',
        },
        'beit': {
            **SMALL,
            'pos_embed': None,
            'pretrain_img_size': 24,
            'qkv_bias': 'qv',
            'rel_pos': 'bias',
            'with_cls_token': True,
            'layer_scale_init': 0.5,
            'window_size': 3,
            'global_blocks': (1, 3),
        },
        'simmim': {
            **SMALL,
            'pos_embed': None,
            'rel_pos': 'bias_shared',
            'with_cls_token': True,
            'window_size': 3,
            'global_blocks': (1, 3),
            'out_indices': (1, 3),
        },
        'beit-detector': {
            **SMALL,
            'pos_embed': None,
            'qkv_bias': 'qv',
            'rel_pos': 'bias',
            'rel_pos_at': 'window',
            'with_cls_token': True,
            'window_size': (2, 3, 0, 3),
        },
        'tables-of-two-windows': {
            **SMALL,
            'rel_pos': 'bias_shared',
            'rel_pos_at': 'window',
            'window_size': (2, 3, 2, 3),
        },
        'dinov3': {
            **SMALL,
            'pos_embed': None,
            'rope': {'kind': 'dinov3'},
            'qkv_bias': 'qv',
            'ffn': 'swiglu',
            'with_cls_token': True,
            'num_registers': 2,
            'window_size': 3,
            'global_blocks': (1, 3),
            'final_norm': 'all',
        },
        'eva02': {
            **SMALL,
            'rope': {'kind': 'eva02', 'pretrain_grid': 4},
            'ffn': 'swiglu',
            'ffn_norm': True,
            'attn_inner_norm': True,
            'window_size': 3,
            'window_pad': 'qkv',
            'global_blocks': (1, 3),
        },
        'aimv2': {
            **SMALL,
            'pos_embed': 'sincos_mae',
            'ffn': 'swiglu',
            'norm': 'rms',
            **dict.fromkeys(('qkv_bias', 'proj_bias', 'ffn_bias'), False),
            'patch_norm': True,
            'window_size': 3,
            'global_blocks': (1, 3),
            'final_norm': 'last',
        },
        'sam3': {
            **SMALL,
            'pretrain_img_size': 24,
            'patch_bias': False,
            'pos_resize': {'by': 'tile'},
            'rope': {'kind': 'axial', 'pretrain_grid': 3},
            'pre_norm': True,
            'window_size': 3,
            'global_blocks': (1, 3),
        },
        'radio': {
            **SMALL,
            'with_cls_token': True,
            'num_registers': 3,
            'pos_embed_cls_slot': False,
            'pos_resize': {'mode': 'bilinear', 'square': True},
        },
        'clip': {
            **SMALL,
            'patch_size': 8,
            'act': 'quick_gelu',
            'ffn_norm': True,
            'with_cls_token': True,
            'pre_norm': True,
            'pos_resize': {'by': 'scale'},
        },
    }

    # Decomposed positions, BEiT's biases at the grid and in windows, rotary positions; both ways to pad windows, with
    # and without prefix tokens; every norm and network.
    traced_backward = True
    compiled = {
        'prefix-tokens-and-windows': {
            **variants['prefix-tokens-and-windows'],
            'num_layers': 2,
            'global_blocks': (1,),
            'out_indices': (0, 1),
        },
        'beit-detector': {**variants['beit-detector'], 'num_layers': 2, 'window_size': (3, 0), 'out_indices': (1,)},
        'eva02': {**variants['eva02'], 'num_layers': 2, 'global_blocks': (1,), 'out_indices': (1,)},
        'aimv2': {**variants['aimv2'], 'num_layers': 2, 'global_blocks': (1,), 'out_indices': (1,)},
        'resformer-in-windows': {
            **variants['resformer-in-windows'],
            'num_layers': 2,
            'global_blocks': (1,),
            'out_indices': (1,),
        },
    }
    exported = {
        'prefix-tokens-and-windows': compiled['prefix-tokens-and-windows'],
        'simmim': {**variants['simmim'], 'num_layers': 2, 'global_blocks': (1,), 'out_indices': (0, 1)},
        'dinov3': {**variants['dinov3'], 'num_layers': 2, 'global_blocks': (1,)},
        'resformer-in-windows': compiled['resformer-in-windows'],
    }

    def strides_and_channels(self, options):
        indices = options.get('out_indices', (3,))
        return [(8, 32)] * len(indices)

    @pytest.mark.skipif(shutil.which('c++') is None and shutil.which('g++') is None, reason='needs a C++ compiler')
    def test_inductor(self):
        """The compiler behind `torch.compile`, for one windowed block: it takes long, and dynamo has its own test."""
        torch._dynamo.reset()
        model = self.build({**VITDET, 'num_layers': 1, 'global_blocks': (), 'out_indices': 0})
        image = torch.randn(2, 3, 32, 48)
        with torch.no_grad():
            assert_within(torch.compile(model, fullgraph=True)(image)[0], model(image)[0], 1e-4, 'output')


class TestWithAStem(BackboneSuite):
    model_class = PlainViT
    patch_size = 16
    variants = {
        'ecvit': {
            **SMALL,
            'patch_size': 16,
            'img_size': 64,
            'stem': {'kind': 'conv'},
            'num_registers': 1,
            'pos_embed': None,
            'rope': {'kind': 'dinov3'},
        }
    }
    compiled = exported = ()
    kept_when_recomputing = 0.8  # the maps of the stem stay

    def strides_and_channels(self, options):
        return [(16, 32)]

    @pytest.mark.parametrize('options', [{'patch_size': 8}, {'patch_bias': False}, {'stem': {'kind': 'pool'}}], ids=str)
    def test_options_that_it_excludes(self, options):
        with pytest.raises(ValueError, match='a stem of kind|kind of stem'):
            PlainViT(**{**self.variants['ecvit'], **options})

    def test_it_has_no_kernel_of_patches(self):
        with pytest.raises(ValueError, match='made by several convolutions'):
            PlainViT(**self.variants['ecvit']).patch_kernel()


class TestArchitectures:
    # embed_dims, num_layers, num_heads, head width, blocks with global attention, parameters (detectron2's ViTDet)
    TABLE = {
        'base': (768, 12, 12, 64, (2, 5, 8, 11), 85_889_024),
        'large': (1024, 24, 16, 64, (5, 11, 17, 23), 303_432_704),
        'huge': (1280, 32, 16, 80, (7, 15, 23, 31), 631_116_800),
    }

    @pytest.mark.parametrize('arch', list(TABLE))
    def test_vitdet_sizes(self, arch):
        dims, layers, heads, width, global_blocks, parameters = self.TABLE[arch]
        with torch.device('meta'):
            vit = PlainViT(
                arch,
                img_size=1024,
                pretrain_img_size=224,
                pos_embed_cls_slot=True,
                window_size=14,
                rel_pos='decomposed',
            )
        assert (vit.embed_dims, vit.num_layers, vit.num_heads) == (dims, layers, heads)
        assert vit.global_blocks == global_blocks
        assert vit.pos_embed.shape == (1, 197, dims)
        for index, block in enumerate(vit.blocks):
            rows = 127 if index in global_blocks else 27
            assert block.attn.rel_pos_h.shape == block.attn.rel_pos_w.shape == (rows, width)
            assert (block.attn.window_size == 0) == (index in global_blocks)
        assert sum(parameter.numel() for parameter in vit.parameters()) == parameters

    @pytest.mark.parametrize(('arch', 'dims', 'heads'), [('tiny', 192, 3), ('small', 384, 6)])
    def test_deit_sizes(self, arch, dims, heads):
        with torch.device('meta'):
            vit = PlainViT(arch)
        assert (vit.embed_dims, vit.num_layers, vit.num_heads) == (dims, 12, heads)
        assert vit.blocks[0].mlp.fc1.out_features == 4 * dims

    def test_given_sizes_win(self):
        with torch.device('meta'):
            vit = PlainViT('large', num_layers=3, feedforward_channels=96)
            narrow = PlainViT(embed_dims=36, num_heads=3)
        assert (vit.embed_dims, vit.num_layers, vit.num_heads) == (1024, 3, 16)
        assert vit.blocks[0].mlp.fc1.out_features == 96
        assert (narrow.num_layers, narrow.blocks[0].mlp.fc1.out_features) == (12, 144)


class TestOptions:
    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'arch': 'largest'}, "arch must be one of .*tiny.*got 'largest'"),
            ({'norm': 'rms', 'ffn': 'swiglu', 'ffn_norm': True}, "norm='rms' excludes ffn_norm and attn_inner_norm"),
            ({'norm': 'batch'}, "norm must be one of .'layer', 'rms'., got 'batch'"),
            ({'pos_embed': 'sincos'}, "pos_embed must be one of .*'sincos_mae', .*got 'sincos'"),
            ({'pos_embed': 'sincos'}, "pos_embed must be one of .*'sincos'"),
            ({'rel_pos': True}, 'rel_pos must be a text or None, got True'),
            ({'rel_pos_at': 'block'}, "rel_pos_at must be one of .*'block'"),
            ({'window_size': (2, 2, 0)}, 'one number for each of the 4 blocks .* got 3 numbers'),
            ({'window_size': (2, 2, 0, 2), 'global_blocks': (2,)}, r'global_blocks=\(2,\): write 0'),
            ({'window_size': -1}, 'window_size must be 0 or more, got -1'),
            ({'qkv_bias': 'q'}, "qkv_bias must be True, False or 'qv', got 'q'"),
            ({'ffn': 'glu'}, "ffn must be one of .*'glu'"),
            ({'act': 'relu'}, "act must be one of .*'relu'"),
            ({'pos_resize': {'by': 'scale', 'offest': 0.0}}, "pos_resize has the unknown keys .'offest'."),
            ({'rope': {'base': 100.0}}, 'kind of rope must be one of .*dinov3.*eva02.*got None'),
            ({'rope': {'kind': 'eva02'}, 'rel_pos': 'decomposed'}, 'exclude each other'),
            ({'rope': {'kind': 'eva02'}, 'num_heads': 16}, 'heads of a multiple of 4 channels, got 2'),
            ({'rope': {'kind': 'dinov3', 'normalize': 'area'}}, "normalize of rope must be one of .*'area'"),
            ({'rope': {'kind': 'dinov3', 'periods_dtype': 'int8'}}, "periods_dtype of rope must be .*'int8'"),
            ({'final_norm': 'first'}, "final_norm must be one of .*'first'"),
            ({'frozen_stages': 5}, 'frozen_stages must be -1 to 4 .*got 5'),
            ({'frozen_stages': -2}, 'frozen_stages must be -1 to 4 .*got -2'),
            ({'out_indices': (1, 4)}, 'out_indices must be between -4 and 3 .*4'),
            ({'global_blocks': (-5,)}, 'global_blocks must be between -4 and 3 .*-5'),
            ({'conv_blocks': (7,)}, 'conv_blocks must be between -4 and 3 .*7'),
            ({'conv_blocks': (1,), 'conv_block_kind': 'wide'}, "conv_block.* must be one of .*'wide'"),
            ({'window_size': 3, 'window_pad': 'mask'}, "window_pad must be one of .*'mask'"),
            ({'num_heads': 3}, 'embed_dims must be a multiple of num_heads, got 32 and 3'),
            ({'patch_size': 0}, 'patch_size must be a whole number of at least 1, got 0'),
            ({'num_heads': 0}, 'num_heads must be a whole number of at least 1, got 0'),
            ({'img_size': 7}, 'img_size must be at least one patch .*8.* got 7'),
            ({'pretrain_img_size': (64, 4)}, 'pretrain_img_size must be at least one patch'),
            ({'pretrain_img_size': 0}, 'pretrain_img_size must be at least one patch .*got 0'),
            ({'img_size': 64.5}, 'img_size must be a whole number or a list of whole numbers, got 64.5'),
            ({'img_size': '64'}, "img_size must be a whole number .*got '64'"),
            ({'norm_eps': 'abc'}, "norm_eps must be a number above 0, got 'abc'"),
            ({'norm_eps': 0}, 'norm_eps must be a number above 0, got 0'),
        ],
    )
    def test_a_bad_one_is_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            PlainViT(**{**SMALL, **options})

    def test_an_unknown_one_is_named(self):
        with pytest.raises(TypeError, match='windows'):
            PlainViT(**SMALL, windows=3)

    def test_drop_path_grows_from_zero(self):
        vit = PlainViT(**SMALL, drop_path_rate=0.3)
        assert [block.drop_path.p for block in vit.blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3])
        assert PlainViT(**{**SMALL, 'num_layers': 1}, drop_path_rate=0.3).blocks[0].drop_path.p == 0.0

    @pytest.mark.parametrize(('num_layers', 'expected'), [(4, (0, 1, 2, 3)), (6, (1, 2, 4, 5)), (2, (0, 1)), (1, (0,))])
    def test_global_blocks_end_the_quarters(self, num_layers, expected):
        assert PlainViT(**{**SMALL, 'num_layers': num_layers}, window_size=3).global_blocks == expected

    def test_indices_from_the_end(self):
        vit = PlainViT(**SMALL, window_size=3, out_indices=(-1, 1), global_blocks=(-1,), conv_blocks=[-2])
        assert (vit.out_indices, vit.global_blocks, vit.conv_blocks) == ((1, 3), (3,), (2,))

    def test_blocks_that_never_run_are_frozen_and_named(self, monkeypatch):
        lines = []
        monkeypatch.setattr(plain_vit, 'print_log', lambda text, **_: lines.append(text))
        shared = {'rel_pos': 'bias_shared', 'rel_pos_at': 'window', 'pos_embed': None, 'window_size': (2, 2, 3, 0)}
        model = redraw(PlainViT(**{**SMALL, **shared}, out_indices=(0, 1)))
        sum(level.square().sum() for level in model(torch.randn(1, 3, 40, 40))).backward()
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert frozen == {name for name, p in model.named_parameters() if p.grad is None}
        tables = {name for name in frozen if name.endswith('table')}
        assert tables == {f'{name}.relative_position_bias_table' for name in ('rel_pos_bias', 'window_rel_pos_bias.3')}
        count = sum(p.numel() for p in model.parameters() if not p.requires_grad)
        assert lines == [
            'out_indices of PlainViT end at block 1 of 0 to 3: the blocks after it never run, their '
            f'{count:,} parameters are frozen; num_layers=2 leaves them out'
        ]
        lines.clear()
        assert all(p.requires_grad for p in PlainViT(**{**SMALL, **shared}, out_indices=(0, 3)).parameters())
        held = ViTAdapter({**VIT, 'out_indices': (0, 1)}, deform_num_heads=2, conv_inplane=4)
        assert all(p.requires_grad for p in held.parameters())
        assert not lines

    def test_every_epsilon(self):
        vit = PlainViT(**SMALL, norm_eps=1e-3, pre_norm=True, final_norm='all', conv_blocks=(1,))
        epsilons = {m.eps for m in vit.modules() if isinstance(m, torch.nn.LayerNorm)}
        assert epsilons == {1e-3}
        assert {m.eps for m in vit.modules() if isinstance(m, LayerNorm2d)} == {1e-6}
        assert PlainViT(**SMALL).blocks[0].norm1.eps == 1e-6


class TestFunction:
    def test_outputs_are_the_maps_after_each_block(self):
        options = {**VITDET, 'global_blocks': (1, 3)}
        image = torch.randn(1, 3, 32, 48)
        together = redraw(PlainViT(**options, out_indices=(0, 1, 2, 3)))(image)
        for index, output in enumerate(together):
            alone = redraw(PlainViT(**options, out_indices=index))(image)
            assert len(alone) == 1
            assert_within(alone[0], output, 1e-5, f'block {index}')
        for first, second in itertools.pairwise(together):
            assert not torch.allclose(first, second)

    def test_embed_and_ranges_of_blocks_make_the_forward_pass(self):
        """What adapters rely on."""
        vit = redraw(PlainViT(**SMALL, with_cls_token=True, num_registers=2, final_norm='last'))
        image = torch.randn(2, 3, 33, 40)
        tokens, grid = vit.embed(image)
        assert (tokens.shape, grid) == ((2, 3 + 5 * 5, 32), (5, 5))
        for start, stop in ((0, 1), (1, 3), (3, None)):
            tokens = vit.run_blocks(tokens, grid, start, stop)
        torch.testing.assert_close(vit.to_map(vit.norm(tokens), grid), vit(image)[0])

    def test_order_of_the_tokens(self):
        """The class token with its position, the registers, the patches row by row."""
        vit = redraw(PlainViT(**SMALL, with_cls_token=True, num_registers=2))
        image = torch.randn(2, 3, 40, 40)
        tokens, _ = vit.embed(image)
        patches = vit.patch_embed.proj(image).flatten(2).transpose(1, 2)
        for index in range(2):
            assert torch.equal(tokens[index, :1], vit.cls_token[0] + vit.pos_embed[0, :1])
            assert torch.equal(tokens[index, 1:3], vit.register_tokens[0])
            torch.testing.assert_close(tokens[index, 3:], patches[index] + vit.pos_embed[0, 1:])

    def test_pixels_beyond_the_last_whole_patch_count(self):
        vit = redraw(PlainViT(**SMALL)).eval()
        image = torch.randn(1, 3, 33, 41)
        padded = torch.nn.functional.pad(image, (0, 7, 0, 7))
        assert torch.equal(vit(image)[0], vit(padded)[0])
        image[..., -1, -1] += 1.0
        assert not torch.equal(vit(image)[0], vit(padded)[0])

    def test_an_unused_row_of_the_class_token_changes_nothing(self):
        vit = redraw(PlainViT(**VITDET, global_blocks=(1, 3)))
        image = torch.randn(1, 3, 32, 48)
        expected = vit(image)[0]
        with torch.no_grad():
            vit.pos_embed[:, 0] += 5.0
        assert torch.equal(vit(image)[0], expected)

    def test_windows_cut_off_what_is_far_away(self):
        vit = redraw(PlainViT(**SMALL, window_size=2, global_blocks=()))
        image = torch.randn(1, 3, 32, 32, requires_grad=True)
        vit(image)[0][..., 0, 0].sum().backward()
        assert image.grad[..., :16, :16].any()
        assert not image.grad[..., 16:, :].any()
        assert not image.grad[..., :, 16:].any()

    @pytest.mark.parametrize('rel_pos', ['bias_shared', 'bias'])
    def test_a_shared_bias_is_spread_once(self, rel_pos, monkeypatch):
        calls = []
        spread = bias.relative_position_bias

        def record(table, table_grid, grid, *rest):
            calls.append(grid)
            return spread(table, table_grid, grid, *rest)

        monkeypatch.setattr(bias, 'relative_position_bias', record)
        vit = PlainViT(**SMALL, rel_pos=rel_pos, window_size=3, global_blocks=(3,), out_indices=(1, 3))
        vit(torch.randn(1, 3, 32, 48))
        expected = [(4, 6), (3, 3)] if rel_pos == 'bias_shared' else [(3, 3)] * 3 + [(4, 6)]
        assert calls == expected

    def test_positions_once_for_several_ranges(self):
        """What adapters may give, so that nothing is computed for each of their stages."""
        vit = redraw(PlainViT(**SMALL, rope={'kind': 'eva02'}, rel_pos='bias_shared', window_size=3)).eval()
        image = torch.randn(1, 3, 32, 48)
        tokens, grid = vit.embed(image)
        positions = vit.positions(grid)
        for start, stop in ((0, 2), (2, None)):
            tokens = vit.run_blocks(tokens, grid, start, stop, positions)
        torch.testing.assert_close(vit.to_map(tokens, grid), vit(image)[0])

    @pytest.mark.parametrize(
        'options',
        [
            {'rope': {'kind': 'dinov3'}, 'pos_embed': None},
            {'rel_pos': 'bias'},
            {'rel_pos': 'bias_shared'},
            {'rel_pos': 'decomposed'},
        ],
    )
    def test_queries_before_all_tokens(self, options):
        """Where only they see themselves, the image is as without them, and they do not depend on their order."""
        vit = redraw(PlainViT(**SMALL, **options, with_cls_token=True, num_registers=1)).eval()
        tokens, grid = vit.embed(torch.randn(2, 3, 32, 48))
        queries = torch.randn(2, 3, 32)
        mask = torch.ones(3 + tokens.shape[1], 3 + tokens.shape[1], dtype=torch.bool)
        mask[3:, :3] = False
        found = []
        for order in ([0, 1, 2], [2, 0, 1]):
            joined = torch.cat([queries[:, order], tokens], dim=1)
            for positions in (None, vit.positions(grid, extra=3)):
                out = vit.run_blocks(joined, grid, 1, None, positions, mask=mask)
                assert_within(out[:, 3:], vit.run_blocks(tokens, grid, 1), 1e-5, 'image')
            found.append(out[:, :3])
        assert_within(found[0][:, [2, 0, 1]], found[1], 1e-5, 'queries')
        free = vit.run_blocks(joined, grid, 1)
        assert not torch.allclose(free[:, 3:], out[:, 3:], atol=1e-2)

    @pytest.mark.parametrize('options', [{}, {'with_cls_token': True}, {'conv_blocks': (1,)}])
    def test_layout_in_memory(self, options):
        """Tokens stay contiguous from block to block, so that no norm copies them, and maps are contiguous too."""
        vit = PlainViT(**SMALL, **options)
        image = torch.randn(2, 3, 32, 40)
        tokens, grid = vit.embed(image)
        for index in range(vit.num_layers):
            assert tokens.is_contiguous()
            tokens = vit.run_blocks(tokens, grid, index, index + 1)
        assert vit(image)[0].is_contiguous()


class TestLayerDepth:
    @pytest.fixture(scope='class')
    def vit(self):
        return PlainViT(
            **VITDET, with_cls_token=True, num_registers=1, pre_norm=True, final_norm='all', conv_blocks=(1,)
        )

    @pytest.mark.parametrize(
        ('name', 'depth'),
        [
            ('pos_embed', 0),
            ('cls_token', 0),
            ('register_tokens', 0),
            ('patch_embed.proj.weight', 0),
            ('norm_pre.bias', 0),
            ('blocks.0.norm1.weight', 1),
            ('blocks.3.attn.rel_pos_h', 4),
            ('blocks.1.mlp.fc2.bias', 2),
            ('blocks.1.residual.conv1.weight', 5),
            ('norm.weight', 5),
        ],
    )
    def test_depth(self, vit, name, depth):
        assert vit.get_layer_depth(name) == (depth, 6)
        assert vit.get_layer_depth(f'model.backbone.{name}', 'model.backbone.') == (depth, 6)
        assert name in dict(vit.named_parameters())

    def test_a_shared_table_is_last(self):
        """As in BEiT's `get_num_layer_for_vit`; a table of a block has the depth of the block."""
        vit = PlainViT(**SMALL, rel_pos='bias_shared')
        assert vit.get_layer_depth('rel_pos_bias.relative_position_bias_table') == (5, 6)
        assert vit.get_layer_depth('blocks.2.attn.relative_position_bias_table') == (3, 6)

    def test_names_of_other_modules_are_last(self, vit):
        assert vit.get_layer_depth('neck.blocks.0.norm1.weight', 'backbone.') == (5, 6)


def test_initial_weights():
    """Truncated normal of 0.02 for linear layers, tokens and positions; zeros for biases and relative positions."""
    vit = PlainViT(**{**VITDET, 'embed_dims': 96, 'img_size': 160, 'pretrain_img_size': 96}, with_cls_token=True)
    for name, parameter in vit.named_parameters():
        if name == 'pos_embed' or re.search(r'(qkv|attn\.proj|fc\d)\.weight$', name):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
            assert parameter.abs().max() < 0.12, name
        elif name.endswith(('norm1.weight', 'norm2.weight')):
            assert (parameter == 1).all()
        elif re.search(r'^blocks.*(rel_pos_[hw]|bias)$', name):
            assert not parameter.any(), name
    bound = (3 * 8 * 8) ** -0.5
    assert vit.patch_embed.proj.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
