"""Fitting weights to a model: resized tables, the row of the class token, the report, what does not fit."""

import copy

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_checkpoint, weights_to_cpu

from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.checkpoints import CheckpointError, FitReport, ViTPretrained, fit_to_vit
from mmvitdense.checkpoints.fit.options import FitOptions
from mmvitdense.checkpoints.formats.parts.implied_options import implied_options
from mmvitdense.layers import resize_bias_table, resize_position_table, sincos_position_table
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import assert_within, redraw

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8, 'img_size': 32}


def build(seed=0, **options):
    return redraw(PlainViT(**{**SMALL, **options}), seed=seed).eval()


def load(source, target):
    """Fit the weights of one model to another and load them."""
    weights, report = fit_to_vit(source.state_dict(), target)
    missing, unexpected = target.load_state_dict(weights, strict=False)
    assert sorted(missing) == sorted(report.missing)
    assert not unexpected
    return report


AIMV2 = {'norm': 'rms', 'patch_norm': True, 'proj_bias': False, 'ffn_bias': False, 'ffn': 'swiglu', 'qkv_bias': False}


def test_norms_and_biases_of_another_kind():
    """Layer norms whose shifts stay zero would be near enough to look right."""
    with pytest.raises(CheckpointError, match=r'lacks .* weights .*\(.*norm.*\)'):
        load(build(**AIMV2), build(ffn='swiglu', qkv_bias=False))
    with pytest.raises(CheckpointError, match=r'lacks 12 weights .*\(proj_bias, ffn_bias, norm\)'):
        load(build(**AIMV2, final_norm='last'), build(patch_norm=True, ffn='swiglu', qkv_bias=False, final_norm='last'))
    with pytest.raises(CheckpointError, match=r'has 1 weights that the model has not, last patch_embed.norm.weight'):
        load(build(**AIMV2), build(**{**AIMV2, 'patch_norm': False}))


@pytest.mark.parametrize('kind', ['sincos_mae', 'sincos_bv'])
def test_a_table_of_what_the_model_computes(kind):
    """It is left out, and any other is refused."""
    table, other = (sincos_position_table((4, 4), 16, name) for name in (kind, *({'sincos_mae', 'sincos_bv'} - {kind})))
    source, target = build(with_cls_token=True), build(seed=1, with_cls_token=True, pos_embed=kind)
    weights = {**source.state_dict(), 'pos_embed': torch.cat([torch.zeros(1, 1, 16), table], dim=1)}
    for stored in (torch.float32, torch.bfloat16):
        kept, report = fit_to_vit({name: x.to(stored) for name, x in weights.items()}, target)
        assert 'pos_embed' not in kept
        assert report.resized == [f'pos_embed -> computed at each grid ({kind}), equal at that of the file']
    target.load_state_dict(fit_to_vit(weights, target)[0])
    source.load_state_dict(weights)
    image = torch.randn(1, 3, 32, 32)
    assert torch.allclose(target(image)[0], source(image)[0], atol=1e-5)
    for unlike in (other, torch.randn(1, 16, 16)):
        with pytest.raises(CheckpointError, match=r'1 weights that the model has not, last pos_embed: .*\(pos_embed\)'):
            fit_to_vit({**weights, 'pos_embed': unlike}, target)


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'with_cls_token': True, 'num_registers': 2, 'pre_norm': True, 'final_norm': 'all', 'layer_scale_init': 1.0},
        {'window_size': 2, 'rel_pos': 'decomposed', 'conv_blocks': (0,), 'pos_embed_cls_slot': True},
        {'pos_embed': None, 'qkv_bias': False},
        {**AIMV2, 'pos_embed': 'sincos_mae', 'final_norm': 'last'},
    ],
    ids=['plain', 'tokens', 'vitdet', 'bare', 'aimv2'],
)
def test_the_same_model(options):
    source, target = build(**options), build(seed=1, **options)
    report = load(source, target)
    image = torch.randn(1, 3, 40, 24)
    assert torch.equal(target(image)[0], source(image)[0])
    assert report == FitReport(loaded=len(source.state_dict()))
    assert str(report) == f'{report.loaded} tensors loaded'


class TestPositions:
    SIZES = [(32, 32), (48, 24), (17, 40)]

    @pytest.mark.parametrize('size', SIZES)
    def test_the_row_of_the_class_token_moves_into_the_token(self, size):
        """A model without that row computes the same, whatever the size of the image."""
        source = build(with_cls_token=True)
        target = build(seed=1, with_cls_token=True, pos_embed_cls_slot=False)
        report = load(source, target)
        assert target.pos_embed.shape[1] == source.pos_embed.shape[1] - 1
        image = torch.randn(1, 3, *size)
        assert_within(target(image)[0], source(image)[0], 1e-5, 'output')
        assert not report.resized

    @pytest.mark.parametrize('size', SIZES)
    def test_a_table_without_the_row_gets_zeros_for_it(self, size):
        source = build(with_cls_token=True, pos_embed_cls_slot=False)
        target = build(seed=1, with_cls_token=True)
        load(source, target)
        assert not target.pos_embed[:, 0].any()
        image = torch.randn(1, 3, *size)
        assert_within(target(image)[0], source(image)[0], 1e-5, 'output')

    def test_the_row_is_dropped_where_there_is_no_class_token(self):
        source, target = build(with_cls_token=True), build(seed=1)
        report = load(source, target)
        assert torch.equal(target.pos_embed, source.pos_embed[:, 1:])
        assert report.left_over == ['cls_token']

    def test_the_unused_row_is_kept_for_detectron2(self):
        source, target = build(with_cls_token=True), build(seed=1, pos_embed_cls_slot=True)
        load(source, target)
        assert torch.equal(target.pos_embed, source.pos_embed)

    @pytest.mark.parametrize('size', [24, (48, 16)])
    @pytest.mark.parametrize('slot', [True, False])
    def test_another_grid(self, size, slot):
        source = build(with_cls_token=True)
        target = build(seed=1, with_cls_token=True, pretrain_img_size=size, pos_embed_cls_slot=slot)
        report = load(source, target)
        grid = (3, 3) if size == 24 else (6, 2)
        assert report.resized == [f'pos_embed 4x4 -> {grid[0]}x{grid[1]}']
        expected = resize_position_table(source.pos_embed[:, 1:], (4, 4), grid)
        assert torch.equal(target.pos_embed[:, int(slot) :], expected)
        cls_token = target.cls_token + (target.pos_embed[:, :1] if slot else 0)
        torch.testing.assert_close(cls_token, source.cls_token + source.pos_embed[:, :1])

    def test_a_model_without_positions(self):
        source, target = build(), build(seed=1, pos_embed=None)
        with pytest.raises(CheckpointError, match=r'has 1 weights that the model has not, last pos_embed.*unused='):
            load(source, target)
        _, report = fit_to_vit(source.state_dict(), target, FitOptions(unused=('pos_embed',)))
        assert report.left_over == ['pos_embed']

    @pytest.mark.parametrize('rows', [18, 5 * 7, 198])
    def test_no_square(self, rows):
        """Two rows before the grid, as of a distilled DeiT, or an oblong grid."""
        weights = {**build().state_dict(), 'pos_embed': torch.zeros(1, rows, 16)}
        with pytest.raises(CheckpointError, match=rf'pos_embed has {rows} rows, which is no square .* expects 4 x 4'):
            fit_to_vit(weights, build())

    def test_an_oblong_table_that_fits_is_taken(self):
        source, target = build(img_size=(40, 56)), build(seed=1, img_size=(40, 56))
        load(source, target)
        assert torch.equal(target.pos_embed, source.pos_embed)


def foreign(model):
    """Weights as a file has them that records nothing."""
    return dict(model.state_dict())


class TestGrids:
    """The rows of a table do not determine its grid."""

    @pytest.mark.parametrize(
        ('source', 'target', 'slot'),
        [
            ((24, 24), (18, 32), True),
            ((16, 16), (8, 32), True),
            ((16, 16), (8, 32), False),
            ((8, 8), (9, 7), True),
        ],
        ids=str,
    )
    def test_a_square_into_as_many_rows(self, source, target, slot):
        """The model computes what the original does at its image size."""
        old = build(with_cls_token=True, img_size=8 * source[0], pos_embed_cls_slot=slot)
        size = tuple(8 * side for side in target)
        new = build(seed=1, with_cls_token=True, img_size=size, pos_embed_cls_slot=slot)
        weights, report = fit_to_vit(foreign(old), new)
        new.load_state_dict(weights)
        assert report.resized == [f'pos_embed {source[0]}x{source[1]} -> {target[0]}x{target[1]}']
        image = torch.randn(1, 3, *size)
        assert_within(new(image)[0], old(image)[0], 2e-6, 'output')

    @pytest.mark.parametrize(('source', 'target'), [((8, 18), (12, 12)), ((5, 7), (7, 5)), ((18, 8), (8, 18))])
    def test_our_own_files_record_theirs(self, source, target, tmp_path):
        old = build(with_cls_token=True, img_size=tuple(8 * side for side in source))
        torch.save({'state_dict': old.state_dict()}, tmp_path / 'vit.pth')
        new = build(seed=1, with_cls_token=True, img_size=tuple(8 * side for side in target))
        assert new.pos_embed.shape == old.pos_embed.shape
        ViTPretrained(tmp_path / 'vit.pth')(new)
        expected = resize_position_table(old.pos_embed[:, 1:], source, target)
        assert torch.equal(new.pos_embed[:, 1:], expected)
        with pytest.raises(RuntimeError, match=rf'pos_embed is a table of {source[0]} x {source[1]} positions'):
            new.load_state_dict(torch.load(tmp_path / 'vit.pth', weights_only=True)['state_dict'])

    def test_within_a_detector(self, tmp_path):
        """As mmengine's runner saves it."""
        old = build(img_size=(64, 144), rel_pos='decomposed')
        detector = torch.nn.ModuleDict({'backbone': old, 'neck': torch.nn.Linear(2, 2)})
        torch.save({'state_dict': weights_to_cpu(get_state_dict(detector))}, tmp_path / 'epoch.pth')
        new = build(seed=1, img_size=96, rel_pos='decomposed')
        ViTPretrained(tmp_path / 'epoch.pth')(new)
        assert torch.equal(new.pos_embed, resize_position_table(old.pos_embed, (8, 18), (12, 12)))

    @pytest.mark.parametrize('kind', ['positions', 'biases'])
    def test_plain_loading_refuses_another_grid(self, kind, tmp_path):
        """Whatever loads it; the table stays as it was."""
        options = {'rel_pos': 'bias', 'pos_embed': None} if kind == 'biases' else {}
        sizes = [(64, 64), (40, 104)] if kind == 'biases' else [(144, 64), (64, 144)]
        old, new = (build(seed=seed, img_size=size, **options) for seed, size in enumerate(sizes))
        torch.save({'state_dict': old.state_dict()}, tmp_path / 'vit.pth')
        tables = ('pos_embed', 'bias_table')
        before = {name: tensor.clone() for name, tensor in new.state_dict().items() if name.endswith(tables)}
        with pytest.raises(CheckpointError, match='is a table of .* positions, the model has'):
            load_model_weights(new, tmp_path / 'vit.pth')
        load_checkpoint(new, str(tmp_path / 'vit.pth'))  # mmengine's, which logs
        assert before
        assert all(torch.equal(new.state_dict()[name], tensor) for name, tensor in before.items())
        load_model_weights(copy.deepcopy(old), tmp_path / 'vit.pth')

    def test_our_own_file_without_a_record_is_asked_for(self):
        old, new = build(img_size=(144, 256)), build(seed=1, img_size=(144, 256))
        message = 'pos_embed has 576 rows, which is 24 x 24 or the 18 x 32 of the model .*pos_grid='
        with pytest.raises(CheckpointError, match=message):
            fit_to_vit(foreign(old), new, FitOptions(oblong=True))
        weights, report = fit_to_vit(foreign(old), new, FitOptions(oblong=True, pos_grid=(18, 32)))
        assert torch.equal(weights['pos_embed'], old.pos_embed)
        assert not report.resized

    def test_a_row_of_the_class_token_can_make_a_square(self):
        """3 x 5 patches and the class token are 4 x 4 rows, which nothing distinguishes."""
        old, new = (build(seed=seed, img_size=(24, 40), with_cls_token=True) for seed in range(2))
        with pytest.raises(CheckpointError, match=r'has 16 rows, which is 4 x 4 or the 3 x 5 of the model .*pos_grid='):
            fit_to_vit(foreign(old), new)
        weights, report = fit_to_vit(foreign(old), new, FitOptions(pos_grid=(3, 5)))
        assert torch.equal(weights['pos_embed'], old.pos_embed)
        assert not report.resized
        square = foreign(build(with_cls_token=True, pos_embed_cls_slot=False))
        _, report = fit_to_vit(dict(square), new, FitOptions(pos_grid=(4, 4)))
        assert report.resized == ['pos_embed 4x4 -> 3x5']

    def test_a_grid_that_is_told(self):
        old, new = build(img_size=(40, 56), with_cls_token=True), build(seed=1, with_cls_token=True)
        weights, _ = fit_to_vit(foreign(old), new, FitOptions(pos_grid=(5, 7)))
        assert torch.equal(weights['pos_embed'][:, 1:], resize_position_table(old.pos_embed[:, 1:], (5, 7), (4, 4)))
        with pytest.raises(CheckpointError, match='has 36 rows, a grid of 6 x 7 has 42, or 43 with the class token'):
            fit_to_vit(foreign(old), new, FitOptions(pos_grid=(6, 7)))
        with pytest.raises(CheckpointError, match='pos_grid is 7 x 5, the file records 5 x 7'):
            fit_to_vit(foreign(old), new, FitOptions(pos_grid=(7, 5), recorded={'pos_embed': (5, 7)}))
        with pytest.raises(CheckpointError, match='pos_grid is given, but the file has no table'):
            fit_to_vit(foreign(build(pos_embed=None)), build(pos_embed=None), FitOptions(pos_grid=(7, 5)))

    def test_sam_tells_its_grid(self, tmp_path):
        old = build(img_size=(64, 144), rel_pos='decomposed')
        weights = foreign(old)
        weights['pos_embed'] = weights['pos_embed'].unflatten(1, (8, 18))
        torch.save(weights, tmp_path / 'sam.pth')
        new = build(seed=1, img_size=96, rel_pos='decomposed')
        ViTPretrained(tmp_path / 'sam.pth')(new)
        assert torch.equal(new.pos_embed, resize_position_table(old.pos_embed, (8, 18), (12, 12)))

    @pytest.mark.parametrize('with_cls_token', [True, False])
    @pytest.mark.parametrize('kind', ['bias', 'bias_shared'])
    def test_biases_of_as_many_rows(self, kind, with_cls_token):
        """8 x 8 patches have 15 x 15 offsets, 5 x 13 patches 9 x 25."""
        options = {'rel_pos': kind, 'pos_embed': None, 'with_cls_token': with_cls_token}
        old, new = build(img_size=64, **options), build(seed=1, img_size=(40, 104), **options)
        weights, _ = fit_to_vit(foreign(old), new)
        new.load_state_dict(weights)
        image = torch.randn(1, 3, 40, 104)
        assert_within(new(image)[0], old(image)[0], 2e-6, 'output')
        back, _ = fit_to_vit(new.state_dict(), old)
        name = next(name for name in back if name.endswith('bias_table'))
        offsets = new.state_dict()[name][: 9 * 25]
        assert torch.equal(back[name][: 15**2], resize_bias_table(offsets, (5, 13), (8, 8)))

    def test_oblong_biases_are_asked_for(self):
        """Of 4 x 6 patches the first 49 of 77 rows would pass for 4 x 4."""
        old, new = build(rel_pos='bias', img_size=(32, 48)), build(rel_pos='bias', pos_embed=None)
        with pytest.raises(CheckpointError, match='bias_table has 77 rows, which is no square grid'):
            fit_to_vit({n: x for n, x in foreign(old).items() if n != 'pos_embed'}, new)

    def test_float64(self):
        old, new = build(with_cls_token=True).double(), build(seed=1, with_cls_token=True, img_size=48).double()
        for weights in (foreign(old), {name: x.float() for name, x in foreign(old).items()}):
            fitted, _ = fit_to_vit(weights, new)
            expected = resize_position_table(weights['pos_embed'][:, 1:].double(), (4, 4), (6, 6))
            assert fitted['pos_embed'].dtype == torch.float64
            assert torch.equal(fitted['pos_embed'][:, 1:], expected)


def test_relative_positions_are_resized_linearly():
    options = {'window_size': 2, 'global_blocks': (1,), 'rel_pos': 'decomposed'}
    source, target = build(**options), build(seed=1, **{**options, 'window_size': 3, 'img_size': (48, 32)})
    report = load(source, target)
    assert [line for line in report.resized if 'rel_pos' in line] == [
        'blocks.0.attn.rel_pos_h 3 -> 5',
        'blocks.0.attn.rel_pos_w 3 -> 5',
        'blocks.1.attn.rel_pos_h 7 -> 11',
    ]
    positions = (np.arange(5) + 0.5) * 3 / 5 - 0.5
    table = source.blocks[0].attn.rel_pos_h.detach().numpy()
    expected = np.stack([np.interp(positions, np.arange(3), column) for column in table.T], axis=1)
    np.testing.assert_allclose(target.blocks[0].attn.rel_pos_h.detach().numpy(), expected, atol=1e-6)


def test_half_precision():
    """It is widened where something is computed, and by the loading else."""
    source, target = build(with_cls_token=True), build(seed=1, pretrain_img_size=72, patch_size=12)
    weights, _ = fit_to_vit({name: tensor.half() for name, tensor in source.state_dict().items()}, target)
    assert weights['pos_embed'].dtype == weights['patch_embed.proj.weight'].dtype == torch.float32
    target.load_state_dict(weights, strict=False)
    assert all(tensor.dtype == torch.float32 for tensor in target.state_dict().values())
    expected = source.blocks[0].attn.qkv.weight.half().float()
    assert torch.equal(target.blocks[0].attn.qkv.weight, expected)


class TestMissing:
    """What would make the model compute something else than was trained."""

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'with_cls_token': True, 'pos_embed_cls_slot': False}, r'first cls_token: .*with_cls_token'),
            ({'num_registers': 2}, r'first register_tokens: .*num_registers'),
            ({'final_norm': 'last'}, r'first norm.weight, norm.bias: .*final_norm'),
            ({'layer_scale_init': 1e-5}, r'first blocks.0.ls1.gamma, .*layer_scale_init'),
            ({'pre_norm': True}, r'first norm_pre.weight, .*pre_norm'),
            ({'num_layers': 3}, r'first blocks.2.norm1.weight, .*checkpoint \(num_layers\)'),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
    )
    def test_is_refused_or_asked_for(self, options, message):
        target = build(seed=1, **options)
        with pytest.raises(CheckpointError, match=f'lacks .* weights of the model, {message}.*as_initialized='):
            load(build(), target)
        missing = set(target.state_dict()) - set(build().state_dict())
        weights, report = fit_to_vit(build().state_dict(), target, FitOptions(as_initialized=tuple(missing)))
        assert not missing & {*weights, *report.missing}

    @pytest.mark.parametrize('kind', ['rel_pos_h', 'residual', 'ls1'])
    def test_a_part_of_some_blocks_alone(self, kind):
        """What dense prediction adds is missing as a whole; some of it shows another model."""
        options = {'rel_pos': 'decomposed', 'conv_blocks': (0, 1), 'layer_scale_init': 1.0}
        weights = build(**options).state_dict()
        for name in [name for name in weights if name.startswith('blocks.1.') and kind in name]:
            del weights[name]
        with pytest.raises(CheckpointError, match=rf'lacks .*first blocks.1.*{kind}'):
            fit_to_vit(weights, build(seed=1, **options))

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'num_registers': 2}, r'last register_tokens: .*num_registers'),
            ({'rel_pos': 'bias_shared'}, r'last rel_pos_bias.*: .*rel_pos='),
        ],
    )
    def test_what_the_model_would_ignore(self, options, message):
        source, target = build(**options), build(seed=1)
        with pytest.raises(CheckpointError, match=f'weights that the model has not, {message}.*unused='):
            load(source, target)
        _, report = fit_to_vit(source.state_dict(), target, FitOptions(unused=('register_tokens', 'rel_pos_bias')))
        assert len(report.left_over) == 1

    def test_a_bias_of_the_patches_that_the_model_would_ignore(self):
        with pytest.raises(CheckpointError, match=r'last patch_embed.proj.bias: .*patch_bias'):
            load(build(), build(seed=1, patch_bias=False))


class TestReport:
    def test_what_pre_training_cannot_have_keeps_its_start(self):
        """A ViTDet from plain weights: relative positions, convolutions and gains, which start without an effect."""
        target = build(seed=1, rel_pos='decomposed', conv_blocks=(1,), layer_scale_init=1.0)
        before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
        report = load(build(), target)
        kinds = {'rel_pos_h', 'rel_pos_w', 'residual', 'ls1', 'ls2'}
        assert {kind for name in report.missing for kind in kinds & set(name.split('.'))} == kinds
        assert all(torch.equal(target.state_dict()[name], before[name]) for name in report.missing)

    def test_text(self):
        source = build(with_cls_token=True, final_norm='last')
        weights = {**source.state_dict(), 'head.weight': torch.zeros(2, 16)}
        kept, report = fit_to_vit(weights, build(seed=1, pretrain_img_size=24, rel_pos='decomposed'))
        assert (report.loaded, set(kept)) == (len(kept), set(source.state_dict()) - set(report.left_over))
        assert str(report) == (
            f'{len(kept)} tensors loaded; 1 resized: pos_embed 4x4 -> 3x3; 4 missing: blocks.0.attn.rel_pos_h, '
            'blocks.0.attn.rel_pos_w, blocks.1.attn.rel_pos_h, blocks.1.attn.rel_pos_w; '
            '4 left over: cls_token, norm.weight, norm.bias, head.weight'
        )

    def test_long_lists_are_cut(self):
        report = FitReport(loaded=2, left_over=[f'head.{i}' for i in range(9)])
        assert str(report) == (
            '2 tensors loaded; 9 left over: head.0, head.1, head.2, head.3, head.4, head.5 and 3 more'
        )


class TestDoesNotFit:
    def test_another_width(self):
        message = (
            r'25 weights of the checkpoint have another shape .*pos_embed \(1, 16, 24\) in the file, \(1, 16, 16\) in '
            r'the model.*Give the model the sizes of the checkpoint'
        )
        with pytest.raises(CheckpointError, match=message):
            fit_to_vit(build(embed_dims=24, num_heads=3).state_dict(), build())

    def test_too_few_blocks(self):
        message = r'lacks 12 weights of the model, first blocks.1.norm1.weight'
        with pytest.raises(CheckpointError, match=message):
            fit_to_vit(build(num_layers=1).state_dict(), build())

    def test_no_positions(self):
        with pytest.raises(CheckpointError, match='lacks 1 weights of the model, first pos_embed'):
            fit_to_vit(build(pos_embed=None).state_dict(), build())

    def test_the_model_is_untouched(self):
        target = build()
        before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
        with pytest.raises(CheckpointError):
            fit_to_vit(build(num_layers=1).state_dict(), target)
        assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ('options', 'name'),
    [
        ({'num_layers': 3}, 'blocks.2.'),
        ({'layer_scale_init': 1.0}, 'ls2.gamma'),
        ({'window_size': 2, 'rel_pos': 'decomposed'}, 'rel_pos_w'),
        ({'pre_norm': True}, 'norm_pre'),
    ],
)
def test_weights_that_the_model_would_ignore_are_refused(options, name):
    with pytest.raises(CheckpointError, match=f'{name}.*give the model'):
        fit_to_vit(build(**options).state_dict(), build())


class TestBiases:
    """BEiT's tables of relative positions."""

    TABLE = 'blocks.1.attn.relative_position_bias_table'

    def test_one_table_for_all_becomes_one_for_each_block(self):
        source = build(rel_pos='bias_shared', pos_embed=None, with_cls_token=True)
        target = build(seed=1, rel_pos='bias', pos_embed=None, with_cls_token=True)
        report = load(source, target)
        assert not report.missing
        assert not report.left_over
        image = torch.randn(1, 3, 40, 24)
        assert_within(target(image)[0], source(image)[0], 1e-5, 'output')

    def test_another_grid_by_the_rule_of_beit(self):
        source = build(rel_pos='bias', pos_embed=None, with_cls_token=True)
        target = build(seed=1, rel_pos='bias', pos_embed=None, with_cls_token=True, pretrain_img_size=48)
        report = load(source, target)
        assert f'{self.TABLE} 4x4 -> 6x6' in report.resized
        old, new = source.state_dict()[self.TABLE], target.state_dict()[self.TABLE]
        assert torch.equal(new[-3:], old[-3:])
        assert torch.equal(new[:-3], resize_bias_table(old[:-3], (4, 4), (6, 6)))

    def test_the_rows_of_the_class_token_are_dropped_without_one(self):
        source = build(rel_pos='bias', pos_embed=None, with_cls_token=True)
        target = build(seed=1, rel_pos='bias', pos_embed=None)
        load(source, target)
        assert torch.equal(target.state_dict()[self.TABLE], source.state_dict()[self.TABLE][:-3])

    def test_rows_of_the_class_token_that_the_file_has_not(self):
        source, target = build(rel_pos='bias'), build(seed=1, rel_pos='bias', with_cls_token=True)
        source.cls_token = target.cls_token
        with pytest.raises(CheckpointError, match='relative_position_bias_table'):
            load(source, target)

    @pytest.mark.parametrize('kind', ['bias', 'bias_shared'])
    def test_a_model_without_tables(self, kind):
        with pytest.raises(CheckpointError, match='relative_position_bias_table.*give the model'):
            load(build(rel_pos=kind), build(seed=1))


def test_norms_inside_the_blocks_are_not_optional():
    with pytest.raises(CheckpointError, match=r'lacks 4 weights of the model, first blocks.0.mlp.norm.weight'):
        load(build(), build(seed=1, ffn_norm=True))


def test_an_embedding_without_bias():
    source, target = build(patch_bias=False), build(seed=1)
    load(source, target)
    image = torch.randn(1, 3, 40, 24)
    assert_within(target(image)[0], source(image)[0], 1e-5, 'output')


def test_an_encoder_does_not_do_where_a_decoder_is_needed():
    """Whatever else a model expects besides its blocks, a file without it is refused (MIMDet needs MAE's decoder)."""
    target = build()
    target.decoder_embed = torch.nn.Linear(16, 8)
    with pytest.raises(CheckpointError, match=r'lacks 2 weights of the model, first decoder_embed'):
        fit_to_vit(build().state_dict(), target)


class TestImpliedOptions:
    """Of tables that are no square, what a format reads off the weights."""

    @pytest.mark.parametrize('options', [{}, {'pos_embed': None, 'rel_pos': 'bias'}])
    def test_a_grid_is_asked_for(self, options):
        weights = build(img_size=(40, 56), **options).state_dict()
        with pytest.raises(CheckpointError, match=r'no square grid .*give pretrain_img_size as \(height, width\)'):
            implied_options(weights, {}, num_heads=2)
        told = implied_options(weights, {'pretrain_img_size': (40, 56)}, num_heads=2)
        PlainViT(**told).load_state_dict(weights)

    def test_both_axes_of_decomposed_tables(self):
        weights = build(img_size=(40, 56), window_size=2, global_blocks=(1,), rel_pos='decomposed').state_dict()
        told = implied_options(weights, {'pretrain_img_size': (40, 56)}, num_heads=2)
        assert (told['img_size'], told['window_size'], told['global_blocks']) == ((40, 56), 2, (1,))
