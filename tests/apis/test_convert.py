"""The conversion tool: reports, files that are whole or absent, what it refuses."""

import json
import logging
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvitdense import commands
from mmvitdense.apis.checkpoint import load_model_weights
from mmvitdense.apis.convert import convert_file, list_formats
from mmvitdense.apis.weight_files import write_checkpoint
from mmvitdense.checkpoints import FORMATS, ViTPretrained, initializer, read_checkpoint
from mmvitdense.checkpoints.files import conversion_record
from mmvitdense.checkpoints.files.conversion_record import read_record
from mmvitdense.layers import resize_position_table
from mmvitdense.models import MIMDet, PlainViT, SimpleFeaturePyramid, ViTCoMer
from tests.fidelity.agreement import redraw

SIZES = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 4, 'feedforward_channels': 48, 'patch_size': 8, 'img_size': 40}


@pytest.fixture
def run(capsys):
    """The command as the command line runs it: (exit code, stdout, stderr)."""

    def call(*arguments):
        code = commands.main(['convert', *map(str, arguments)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture
def mae(tmp_path):
    model = redraw(PlainViT(**SIZES, with_cls_token=True, final_norm='last'))
    weights = {**model.state_dict(), 'decoder_embed.weight': torch.zeros(16, 32), 'mask_token': torch.zeros(1, 1, 16)}
    path = tmp_path / 'mae.pth'
    torch.save({'model': weights}, path)
    return path, model


def test_list(run):
    code, output, _ = run('--list')
    assert code == 0
    assert [line.split('  ')[0] for line in output.splitlines()] == [form.name for form in FORMATS]
    assert output.strip() == list_formats()


def test_dry_run(run, mae, tmp_path):
    code, output, _ = run(mae[0], tmp_path / 'out.pth', '--dry-run', '--num-heads', 4)
    assert code == 0
    assert 'format: timm ViT\n' in output
    assert 'embed_dims=32' in output
    assert 'num_heads=4' in output
    assert 'not of the ViT: decoder_embed.weight, mask_token' in output
    assert not (tmp_path / 'out.pth').exists()


def test_heads_that_nobody_can_tell(run, mae):
    code, output, _ = run(mae[0], '--dry-run')
    assert code == 0
    assert 'options: unknown, the number of attention heads is not in the weights' in output


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('layout', ['mmvitdense', 'timm'])
def test_files(run, mae, tmp_path, suffix, layout):
    path, model = mae
    target = tmp_path / 'new' / f'vit{suffix}'
    code, output, _ = run(path, target, '--to', layout, '--num-heads', 4)
    assert code == 0
    assert f'written: {target}' in output
    assert [found.name for found in target.parent.iterdir()] == [target.name]
    written = read_checkpoint(target)
    assert all(torch.equal(written[name], tensor) for name, tensor in model.state_dict().items())
    assert target.stat().st_size < 1.1 * path.stat().st_size + 10_000


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kind', ['given', 'recorded', 'recorded in a detector'])
def test_grids_of_oblong_tables_stay_known(tmp_path, suffix, kind):
    """By the record of our own file, or as the user gives it: 2 x 8 positions are as many as 4 x 4."""
    model = redraw(PlainViT(**{**SIZES, 'img_size': (16, 64)}))
    holder = torch.nn.ModuleDict({'backbone': model, 'neck': torch.nn.Linear(2, 2)}) if 'detector' in kind else model
    options = {'pretrain_img_size': (16, 64), 'num_heads': 4} if kind == 'given' else {}
    weights = holder.state_dict()
    torch.save(dict(weights) if kind == 'given' else weights, tmp_path / 'old.pth')  # as other programs, or as ours
    conversion = convert_file(tmp_path / 'old.pth', options=options)
    write_checkpoint(conversion.weights, tmp_path / f'new{suffix}', conversion.record)
    square = PlainViT(**{**SIZES, 'img_size': 32})
    ViTPretrained(tmp_path / f'new{suffix}')(square)
    assert torch.equal(square.pos_embed, resize_position_table(model.pos_embed, (2, 8), (4, 4)))


def test_a_whole_detector(run, tmp_path):
    vit = redraw(PlainViT(**SIZES, window_size=2, global_blocks=(1,), rel_pos='decomposed', pos_embed_cls_slot=True))
    neck = SimpleFeaturePyramid(32, 16).state_dict()
    official = {f'backbone.net.{name}': tensor for name, tensor in vit.state_dict().items()}
    official['backbone.simfp_4.0.weight'] = neck['lateral_convs.2.0.weight']
    official['backbone.simfp_4.1.weight'] = neck['output_convs.2.0.weight']
    official['roi_heads.box_predictor.cls_score.bias'] = torch.zeros(6)
    official['pixel_mean'] = torch.zeros(3, 1, 1)
    torch.save({'model': official}, tmp_path / 'd2.pth')
    conversion = convert_file(tmp_path / 'd2.pth')
    assert conversion.whole_model
    assert {'neck.lateral_convs.0.0.weight', 'roi_head.bbox_head.fc_cls.bias'} <= conversion.weights.keys()
    assert conversion.options['window_size'] == 2
    assert not conversion.unused


@pytest.fixture
def comer(tmp_path):
    """A segmentor with ViT-CoMer, whose names are the official ones but for the ViT inside."""
    vit = {name: size for name, size in SIZES.items() if name not in ('patch_size', 'img_size')}
    model = ViTCoMer({**vit, 'pretrain_img_size': 64, 'pos_embed_cls_slot': True}, conv_inplane=4, deform_num_heads=4)
    official = {f'backbone.{name.removeprefix("vit.")}': x for name, x in model.state_dict().items()}
    official.update({'decode_head.conv_seg.bias': torch.zeros(3), 'backbone.head.bias': torch.zeros(3)})
    torch.save({'state_dict': official}, tmp_path / 'comer.pth')
    return tmp_path / 'comer.pth'


def test_a_model_around_a_vit(run, comer, tmp_path):
    """Its class is named, with what the weights do not determine."""
    code, output, _ = run(comer, tmp_path / 'out.pth', '--num-heads', 4)
    assert code == 0
    options = next(line for line in output.splitlines() if line.startswith('options: '))
    built = eval(options.removeprefix('options: '), {'ViTCoMer': ViTCoMer})
    written = read_checkpoint(tmp_path / 'out.pth')
    assert written.pop('decode_head.conv_seg.bias') is not None
    assert written.pop('backbone.head.bias') is not None
    built.load_state_dict({name.removeprefix('backbone.'): x for name, x in written.items()})
    assert 'not of the ViTCoMer: head.bias\n' in output
    guesses = [line.split(':')[1].split('=')[0].strip() for line in output.splitlines() if '# a guess' in line]
    expected = ['n_points', 'vit_feature as by default', 'vit.window_size as by default', 'interaction_indexes']
    assert guesses == expected
    assert '# a guess: n_points=4: the weights have its product with deform_num_heads alone, 16' in output
    _, again, _ = run(tmp_path / 'out.pth', tmp_path / 'again.safetensors', '--options', 'n_points=4')
    assert options in again
    assert [line for line in again.splitlines() if '# a guess' in line] == [
        line for line in output.splitlines() if '# a guess' in line and 'n_points' not in line
    ]


def test_timm_has_no_adapters(run, comer, tmp_path):
    code, _, error = run(comer, tmp_path / 'out.pth', '--to', 'timm')
    assert code == 2
    assert 'timm has no ViTCoMer' in error


def test_timm_has_none_of_our_own_adapters(run, tmp_path):
    vit = {name: size for name, size in SIZES.items() if name not in ('patch_size', 'img_size')}
    torch.save(ViTCoMer(vit, conv_inplane=4, deform_num_heads=4).state_dict(), tmp_path / 'ours.pth')
    code, _, error = run(tmp_path / 'ours.pth', tmp_path / 'out.pth', '--to', 'timm')
    assert code == 2
    assert 'timm has neither ViT-CoMer nor ViT-Adapter, with which the ViT of' in error


class TestGuesses:
    @pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
    def test_are_printed_recorded_and_warned_of(self, run, mae, tmp_path, suffix, monkeypatch):
        """Once for the file, and no more when what was guessed is given."""
        path, source = mae
        target = tmp_path / f'guessed{suffix}'
        code, output, _ = run(path, target, '--num-heads', 4, '--options', 'window_size=0')
        assert code == 0
        assert '# a guess:' not in output
        weights = {name: x for name, x in torch.load(path)['model'].items() if not name.startswith('decoder')}
        torch.save(weights, path)
        _, output, _ = run(path, target, '--num-heads', 4)
        assert '# a guess: pos_resize as by default: ' in output
        assert "dict(by='scale')" in output
        lines = []
        monkeypatch.setattr(conversion_record, 'print_log', lambda line, **options: lines.append((line, options)))
        vit = PlainViT(**SIZES, with_cls_token=True, final_norm='last')
        ViTPretrained(target)(vit)
        assert torch.equal(vit.pos_embed, source.pos_embed)
        ((line, options),) = lines
        assert line.startswith(
            f'{target} was converted with guesses, as weights do not determine 2 of the options: pos_resize'
        )
        assert options['level'] == logging.WARNING
        run(path, target, '--num-heads', 4, '--options', 'pos_resize.by=scale', 'act=gelu')
        assert 'pos_resize' in read_record(target)['options']
        ViTPretrained(target)(vit)
        assert len(lines) == 1

    def test_of_a_whole_model_when_it_is_tested(self, run, comer, tmp_path, monkeypatch):
        lines = []
        monkeypatch.setattr(conversion_record, 'print_log', lambda line, **_: lines.append(line))
        run(comer, tmp_path / 'out.pth', '--num-heads', 4)
        model = nn.Module()
        model.load_state_dict = lambda *_, **__: ([], [])
        model.state_dict = dict
        load_model_weights(model, tmp_path / 'out.pth')
        (line,) = lines
        assert 'n_points=4 (the weights have its product' in line
        assert 'vit_feature (' in line

    def test_windows(self, run, tmp_path):
        vit = PlainViT(**SIZES, window_size=5, global_blocks=(), rel_pos='decomposed')
        weights = {f'net.{name}': tensor for name, tensor in vit.state_dict().items()}
        torch.save({**weights, 'simfp_4.0.weight': torch.zeros(1)}, tmp_path / 'd2.pth')
        _, output, _ = run(tmp_path / 'd2.pth', '--dry-run')
        assert 'window_size=5, global_blocks=()' in output
        assert '# a guess: window_size=5: all tables of relative positions span 5 tokens' in output


@pytest.mark.parametrize('ema', [False, True])
def test_copies_of_a_moving_average(run, comer, tmp_path, ema):
    """Hooks of mmcv 1 keep them beside the weights."""
    weights = torch.load(comer)['state_dict']
    copies = {f'ema_{name.replace(".", "_")}': x + 1 for name, x in weights.items() if 'running' not in name}
    torch.save({'state_dict': {**weights, **copies}}, tmp_path / 'both.pth')
    code, output, _ = run(tmp_path / 'both.pth', tmp_path / 'out.pth', '--num-heads', 4, *(['--ema'] if ema else []))
    assert code == 0
    assert f"{len(copies)} copies 'ema_*'" in output
    written = read_checkpoint(tmp_path / 'out.pth')
    assert len(written) == len(weights)
    name = 'decode_head.conv_seg.bias'
    assert torch.equal(written[name], weights[name] + ema)
    assert torch.equal(written['backbone.spm.stem.1.running_mean'], weights['backbone.spm.stem.1.running_mean'])


def test_no_copies(run, mae, tmp_path):
    code, _, error = run(mae[0], tmp_path / 'out.pth', '--ema')
    assert code == 2
    assert "has no copies 'ema_*' beside its weights: leave out --ema" in error


def test_weights_are_converted_where_their_description_does_not_fit(run, comer, tmp_path):
    """Such as a layer that somebody added to the adapter."""
    weights = torch.load(comer)['state_dict']
    weights['backbone.interactions.0.cti_tov.extra.weight'] = torch.zeros(3)
    torch.save({'state_dict': weights}, tmp_path / 'more.pth')
    code, output, _ = run(tmp_path / 'more.pth', tmp_path / 'out.pth', '--dry-run')
    assert code == 0
    assert 'options: unknown, the number of attention heads is not in the weights' in output
    code, output, _ = run(tmp_path / 'more.pth', tmp_path / 'out.pth', '--num-heads', 4)
    assert code == 1
    assert output.endswith('No model takes these weights, as said above: exit code 1.\n')
    message = r'options: unknown, num_heads=4 and what .* do not fit \(the model lacks 2, first head.bias, inter'
    assert re.search(message, output)
    assert read_checkpoint(tmp_path / 'out.pth').keys() >= {'backbone.interactions.0.cti_tov.extra.weight'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('MAE', '--dry-run', '--num-heads', '5'), 'num_heads must divide the 32 channels of the ViT, got 5'),
        (('MAE', '--dry-run', '--num-heads', '0'), 'num_heads must divide the 32 channels of the ViT, got 0'),
        (
            ('MAE', '--dry-run', '--options', 'num_heads=4', 'depth=3'),
            'cannot be built with num_heads=4, depth=3: .*depth',
        ),
        (('MAE', '--dry-run', '--options', 'rope=1', 'rope.kind=eva02'), 'rope is given as a whole and in parts'),
        (('MAE', '--dry-run', '--options', 'num_heads=4', 'act=relu'), "cannot be built with .*act='relu'"),
        (
            ('MAE', '--dry-run', '--options', 'num_heads=4', 'norm_eps=abc'),
            "norm_eps must be a number above 0, got 'abc'",
        ),
        (('MAE', '--dry-run', '--options', 'num_heads=4', 'pretrain_img_size=0'), 'pretrain_img_size .*got 0'),
    ],
)
def test_wrong_options(run, mae, arguments, message):
    code, _, error = run(*[mae[0] if a == 'MAE' else a for a in arguments])
    assert code == 2
    assert re.search(message, error)
    assert 'Traceback' not in error


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'Give a file to read'),
        (('MAE',), 'Give a file to read and a file to write'),
        (('MAE', 'out.pkl'), r'must end with .pth or .safetensors, got'),
        (
            ('MAE', 'out.pth', '--to', 'keras'),
            "official, mmpretrain, detectron2, got 'keras'",
        ),
        (('nothing.pth', 'out.pth'), r'nothing.pth does not exist'),
        (('MAE', 'out.pth', '--options', 'vit.window_size=3'), 'have no vit. before their names'),
        (('MAE', 'out.pth', '--options', 'num_heads=4', 'patch_size=0'), 'patch_size must be a whole number'),
    ],
)
def test_refused(run, mae, tmp_path, arguments, message):
    arguments = [mae[0] if a == 'MAE' else tmp_path / a if a.startswith('out') else a for a in arguments]
    code, _, error = run(*arguments)
    assert code == 2
    assert message in error
    assert list(tmp_path.glob('out*')) == []


def test_a_write_that_fails_leaves_nothing(run, mae, tmp_path, monkeypatch):
    def fail(content, path):
        Path(path).write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(torch, 'save', fail)
    code, _, said = run(mae[0], tmp_path / 'out.pth')
    assert code == 1
    assert 'error: OSError: disk full' in said.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['mae.pth']


class TestMIMDet:
    @pytest.fixture
    def checkpoint(self, tmp_path):
        vit = {**SIZES, 'patch_size': 16, 'pretrain_img_size': 48}
        model = redraw(MIMDet(vit=vit, decoder={'embed_dims': 32, 'num_layers': 1}))
        path = tmp_path / 'mimdet.pth'
        torch.save({'model': {f'backbone.{name}': tensor for name, tensor in model.state_dict().items()}}, path)
        return path, model

    def test_the_class_and_its_options(self, run, checkpoint):
        code, output, _ = run(checkpoint[0], '--dry-run', '--num-heads', 4)
        assert code == 0
        assert 'format: MIMDet\n' in output
        (line,) = (line for line in output.splitlines() if line.startswith('options: '))
        rebuilt = eval(line.removeprefix('options: '), {'MIMDet': MIMDet})
        rebuilt.load_state_dict(checkpoint[1].state_dict())
        assert rebuilt.vit.num_heads == 4

    def test_timm_has_none(self, run, checkpoint, tmp_path):
        code, _, error = run(checkpoint[0], tmp_path / 'out.pth', '--to', 'timm')
        assert code == 2
        assert 'timm has no MIMDet' in error


class TestLibraries:
    """What is written is compared in `tests/checkpoints/test_targets.py`."""

    @pytest.fixture
    def of_a_run(self, tmp_path):
        """A checkpoint as mmengine's runner writes it, with a head and the text of the config."""
        options = {**SIZES, 'with_cls_token': True, 'final_norm': 'last', 'act': 'quick_gelu'}
        model = redraw(PlainViT(**options)).eval()
        backbone = {'type': 'mmvitdense.PlainViT', **options, 'init_cfg': {'type': 'ViTPretrained', 'checkpoint': 'x'}}
        weights = {f'backbone.{name}': x for name, x in model.state_dict().items()}
        weights['decode_head.conv_seg.weight'] = torch.zeros(2, 32, 1, 1)
        model_options = {'type': 'EncoderDecoder', 'backbone': backbone}
        config = f"default_scope = 'mmseg'\nmodel = {model_options!r}\n"
        torch.save({'state_dict': weights, 'meta': {'cfg': config}}, tmp_path / 'iter_8.pth')
        return tmp_path / 'iter_8.pth', model

    def test_of_a_run(self, run, of_a_run, tmp_path):
        """Its config says what the weights do not."""
        pytest.importorskip('mmseg')
        transformers = pytest.importorskip('transformers')
        folder = tmp_path / 'hf'
        code, output, error = run(of_a_run[0], folder, '--to', 'transformers')
        assert code == 0, error
        assert '1 weights around the ViT are left out, first decode_head.conv_seg.weight' in output
        assert f'written: {folder / "config.json"}' in output
        assert f"opens with: transformers.AutoModel.from_pretrained('{folder}')" in output
        assert json.loads((folder / 'config.json').read_text())['hidden_act'] == 'quick_gelu'
        opened = transformers.AutoModel.from_pretrained(folder).eval()
        image = torch.randn(1, 3, 40, 40)
        with torch.no_grad():
            (expected,) = of_a_run[1](image)
            tokens = opened(image).last_hidden_state[:, 1:]
        assert torch.allclose(tokens.transpose(1, 2).reshape(expected.shape), expected, atol=1e-4)

    def test_of_a_converted_file(self, run, of_a_run, mae, tmp_path):
        """Its record says so; a file of weights alone has to be described."""
        run(mae[0], tmp_path / 'ours.safetensors', '--num-heads', 4, '--options', 'act=quick_gelu')
        _, output, _ = run(tmp_path / 'ours.safetensors', tmp_path / 'back.pth', '--to', 'timm', '--num-heads', 4)
        assert "act_layer='quick_gelu'" in output
        vit = PlainViT(**SIZES, rel_pos='decomposed')
        torch.save(vit.state_dict(), tmp_path / 'vit.pth')
        code, _, error = run(tmp_path / 'vit.pth', tmp_path / 'd2.pth', '--to', 'detectron2')
        assert code == 2
        assert 'does not say with which options its ViT was built: give them with --options NAME=VALUE' in error
        options = [f'{name}={value}' for name, value in {**SIZES, 'rel_pos': 'decomposed'}.items()]
        code, output, _ = run(tmp_path / 'vit.pth', tmp_path / 'd2.pth', '--to', 'detectron2', '--options', *options)
        assert code == 0
        assert 'opens with: detectron2.modeling.ViT(img_size=40, patch_size=8,' in output
        assert 'backbone.net.blocks.0.attn.rel_pos_h' in torch.load(tmp_path / 'd2.pth')['model']

    @pytest.mark.parametrize('steps', [('mmvitdense', 'timm', 'mmvitdense'), ('mmpretrain', 'transformers')])
    def test_what_no_weight_shows_is_kept(self, run, mae, tmp_path, steps, monkeypatch):
        """From file to file, also in the layouts of others; a model that has it otherwise is warned of."""
        source, options = mae[0], ['--num-heads', 4, '--options', 'act=quick_gelu', 'norm_eps=1e-5']
        for step, layout in enumerate(steps):
            name = {'transformers': 'folder', 'mmpretrain': 'file.pth'}.get(layout, 'file.safetensors')
            target = tmp_path / f'{step}-{name}'
            code, output, error = run(source, target, '--to', layout, *options)
            assert code == 0, error
            source, options = target, []
        record = read_record(source)
        assert (record['format'], record['families'], record['guesses']) == ('timm ViT', ['mae'], {})
        code, output, _ = run(source, '--dry-run')
        assert "act='quick_gelu', norm_eps=1e-05" in output
        assert '# a guess' not in output
        lines = []
        monkeypatch.setattr(initializer, 'print_log', lambda line, **_: lines.append(line))
        ViTPretrained(source)(PlainViT(**SIZES, with_cls_token=True, final_norm='last'))
        assert "norm_eps is 1e-06, the weights come with 1e-05; act is 'gelu', the weights come with" in lines[1]

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (('out.safetensors', '--to', 'transformers'), 'The output for transformers is a folder'),
            (('out.safetensors', '--to', 'detectron2'), 'must end with .pth, got'),
            (('out.safetensors', '--to', 'timm', '--shard-size', '1GB'), 'timm, which reads one file'),
            (('out.pth', '--shard-size', '1GB'), 'Several files are written as .safetensors alone'),
            (('out.pth', '--to', 'timm'), 'timm needs the options of the ViT of'),
            (('out.pth', '--to', 'detectron2', '--num-heads', '4'), 'detectron2 has no model that computes'),
        ],
    )
    def test_refused(self, run, mae, tmp_path, arguments, message):
        target, *others = arguments
        code, _, error = run(mae[0], tmp_path / target, *others)
        assert code == 2
        assert message in error
        assert list(tmp_path.glob('out*')) == []


class TestShards:
    def test_there_and_back(self, run, tmp_path):
        """The files are small, whole, and found by their index, with the record of positions and of the conversion."""
        vit = redraw(PlainViT(**{**SIZES, 'embed_dims': 192, 'img_size': (16, 64)}, num_registers=1))
        torch.save(vit.state_dict(), tmp_path / 'vit.pth')
        code, output, _ = run(tmp_path / 'vit.pth', tmp_path / 'out.safetensors', '--shard-size', '200KB')
        assert code == 0
        index, *parts = [Path(line.removeprefix('written: ')) for line in output.splitlines() if 'written' in line]
        assert index.name == 'out.safetensors.index.json'
        assert [part.name for part in parts] == [f'out-{i:05d}-of-00007.safetensors' for i in range(1, 8)]
        one_weight = max(x.nbytes for x in vit.state_dict().values())
        assert all(part.stat().st_size < max(200_000, one_weight) + 4000 for part in parts)
        read = read_checkpoint(index)
        assert all(torch.equal(read[name], x) for name, x in vit.state_dict().items())
        assert sum(x.nbytes for x in read.values()) == json.loads(index.read_text())['metadata']['total_size']
        assert read_record(index)['format'] == 'mmvitdense'
        square = PlainViT(**{**SIZES, 'embed_dims': 192, 'img_size': 32}, num_registers=1)
        ViTPretrained(index)(square)
        assert torch.equal(square.pos_embed, resize_position_table(vit.pos_embed, (2, 8), (4, 4)))
        code, output, _ = run(index, tmp_path / 'one.safetensors')
        assert code == 0
        assert all(
            torch.equal(x, vit.state_dict()[name]) for name, x in read_checkpoint(tmp_path / 'one.safetensors').items()
        )

    @pytest.mark.parametrize('size', ['2', '0GB', 'GB', '3 TB'])
    def test_sizes(self, run, mae, tmp_path, size):
        with pytest.raises(SystemExit):
            run(mae[0], tmp_path / 'out.safetensors', '--shard-size', size)


class TestPrecision:
    @pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
    def test_the_error_is_stated(self, run, mae, tmp_path, suffix):
        code, output, _ = run(mae[0], tmp_path / f'half{suffix}', '--dtype', 'bfloat16')
        assert code == 0
        (line,) = [line for line in output.splitlines() if line.startswith('bfloat16: ')]
        found = re.fullmatch(
            r'bfloat16: rounding changes \d+ weights by (\S+) .* mean, at most by (\S+) \((\S+)\)', line
        )
        written = read_checkpoint(tmp_path / f'half{suffix}')
        assert {x.dtype for x in written.values()} == {torch.bfloat16}
        source = torch.load(mae[0])['model']
        errors = {n: ((written[n].float() - x).norm() / x.norm()).item() for n, x in source.items() if x.any()}
        assert found[3] == max(errors, key=errors.get)
        assert float(found[2]) == pytest.approx(max(errors.values()), rel=0.05)
        assert float(found[1]) == pytest.approx(sum(errors.values()) / len(errors), rel=0.05)

    def test_too_large(self, run, tmp_path):
        vit = PlainViT(**SIZES, num_registers=1)
        with torch.no_grad():
            vit.register_tokens[0, 0, 0] = 1e6
        torch.save(vit.state_dict(), tmp_path / 'vit.pth')
        code, _, error = run(tmp_path / 'vit.pth', tmp_path / 'half.safetensors', '--dtype', 'float16')
        assert code == 2
        assert '1 numbers of register_tokens are too large for float16, the largest is 1e+06: use bfloat16' in error
        assert [path.name for path in tmp_path.iterdir()] == ['vit.pth']
