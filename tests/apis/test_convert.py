"""The conversion tool: reports, files that are whole or absent, what it refuses."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from mmvitdense.apis.convert import convert_file, list_formats
from mmvitdense.checkpoints import FORMATS, read_checkpoint
from mmvitdense.models import MIMDet, PlainViT, SimpleFeaturePyramid, ViTCoMer
from tests.fidelity.agreement import redraw

TOOL = Path(__file__).parents[2] / 'tools' / 'convert.py'
SIZES = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 4, 'feedforward_channels': 48, 'patch_size': 8, 'img_size': 40}


@pytest.fixture
def run(monkeypatch, capsys):
    """The tool as the command line runs it: (exit code, stdout, stderr)."""
    spec = importlib.util.spec_from_file_location('convert_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['convert.py', *map(str, arguments)])
        code = tool.main()
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
    assert [line.split('  ')[0] for line in output.splitlines()] == [form.NAME for form in FORMATS]
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
    code, output, _ = run(path, target, '--to', layout)
    assert code == 0
    assert f'written: {target}' in output
    assert [found.name for found in target.parent.iterdir()] == [target.name]
    written = read_checkpoint(target)
    assert all(torch.equal(written[name], tensor) for name, tensor in model.state_dict().items())
    assert target.stat().st_size < 1.1 * path.stat().st_size + 10_000


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
    """Its class is named, with what the weights do not tell."""
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


def test_timm_has_no_adapters(run, comer, tmp_path):
    code, _, error = run(comer, tmp_path / 'out.pth', '--to', 'timm')
    assert code == 2
    assert 'timm has no ViTCoMer' in error


def test_timm_has_none_of_our_own_adapters(run, tmp_path):
    vit = {name: size for name, size in SIZES.items() if name not in ('patch_size', 'img_size')}
    torch.save(ViTCoMer(vit, conv_inplane=4, deform_num_heads=4).state_dict(), tmp_path / 'ours.pth')
    code, _, error = run(tmp_path / 'ours.pth', tmp_path / 'out.pth', '--to', 'timm')
    assert code == 2
    assert 'timm has no layout for these weights: it has neither ViT-CoMer nor ViT-Adapter' in error


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'Give a file to read'),
        (('MAE',), 'Give a file to read and a file to write'),
        (('MAE', 'out.pkl'), r'must end with .pth or .safetensors, got'),
        (('MAE', 'out.pth', '--to', 'keras'), "one of mmvitdense, timm, got 'keras'"),
        (('nothing.pth', 'out.pth'), r'nothing.pth does not exist'),
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
    with pytest.raises(OSError, match='disk full'):
        run(mae[0], tmp_path / 'out.pth')
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
