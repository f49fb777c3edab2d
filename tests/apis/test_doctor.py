"""The doctor of weights: what a file is, what a config takes from it, whether two hold the same features."""

import functools
import http.server
import json
import pickle
import re
import sys
import threading
import types

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmvitdense import commands
from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.doctor import diagnose, open_weights
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.weight_files import write_conversion
from mmvitdense.checkpoints import CheckpointError, read_checkpoint
from mmvitdense.downloads import DownloadError
from mmvitdense.models import PlainViT, ViTAdapter
from tests.checkpoints.test_layouts import transformers_vit
from tests.fidelity.agreement import redraw

WIDTH = {'embed_dims': 192, 'num_layers': 2, 'num_heads': 3, 'feedforward_channels': 96, 'patch_size': 16}

FILES = ('vit.pth', 'vit.safetensors')
INDICES = ('model.safetensors.index.json', 'pytorch_model.bin.index.json')


@pytest.fixture(scope='module')
def weights():
    model = redraw(PlainViT(**WIDTH, pretrain_img_size=64, with_cls_token=True, final_norm='last'))
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.fixture
def saved(tmp_path):
    def save(weights, name='vit.pth'):
        path = tmp_path / name
        if name.endswith(('.pth', '.bin')):
            torch.save(weights, path)
        elif name.endswith('.npz'):
            np.savez(path, **{key: tensor.numpy() for key, tensor in weights.items()})
        elif name.endswith('.pkl'):
            path.write_bytes(pickle.dumps({'model': {key: tensor.numpy() for key, tensor in weights.items()}}))
        elif name.endswith('.json'):
            names = sorted(weights)
            kind = 'bin' if '.bin.' in name else 'safetensors'
            places = {key: f'part-{index % 2}.{kind}' for index, key in enumerate(names)}
            for part in sorted(set(places.values())):
                save({key: weights[key] for key in names if places[key] == part}, part)
            path.write_text(json.dumps({'weight_map': places}))
        else:
            pytest.importorskip('safetensors.torch').save_file(weights, path)
        return path

    return save


@pytest.fixture
def run(capsys):
    """The command with --json: exit code, what it printed, its errors."""

    def call(*arguments):
        code = commands.main(['doctor', *map(str, arguments), '--json'])
        output = capsys.readouterr()
        return code, json.loads(output.out) if output.out else None, output.err

    return call


def test_a_published_size(saved, run, capsys):
    """All that is known of it, and lines of a config that load it."""
    model = redraw(PlainViT(preset='deit-tiny', final_norm='last'))
    path = saved(
        {'model': {**model.state_dict(), 'head.bias': torch.zeros(10)}, 'epoch': 7, 'optimizer': {'param_groups': []}}
    )
    code, report, _ = run(path)
    found = report['file']
    assert code == 0
    assert (found['layout'], found['families'][0], found['certainty']) == ('timm ViT', 'deit', 'one of several')
    assert found['presets'] == [f'{family}-tiny' for family in ('deit', 'augreg', 'visualatom')]
    assert found['sizes'] == {
        'embed_dims': 192,
        'num_layers': 12,
        'num_heads': 3,
        'feedforward_channels': 768,
        'patch_size': 16,
    }
    assert found['tokens'] == {'class_token': True, 'registers': 0}
    assert found['positions'] == [{'kind': 'absolute table', 'grid': [14, 14], 'image': [224, 224], 'class_rows': True}]
    assert found['facts']['mae']['licence'] == 'CC-BY-NC-4.0'
    assert 'whose licences differ' in found['why']
    assert found['facts']['augreg']['mean'] == [127.5] * 3
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    assert found['parameters'] == {'vit': numbers, 'file': numbers + 10}
    assert (found['parts'], found['dtypes']) == ({'head': 10}, {'float32': numbers + 10})
    assert found['beside'] == {'epoch': '7', 'optimizer': 'state of an optimizer'}
    assert set(found['guesses']) == {'act', 'pos_resize'}
    loaded = MODELS.build(Config.fromstring(found['config'], '.py').backbone)
    loaded.init_weights()
    assert torch.equal(loaded.blocks[11].mlp.fc2.weight, model.blocks[11].mlp.fc2.weight)
    assert commands.main(['doctor', str(path)]) == 0
    text = capsys.readouterr().out
    assert 'absolute table of 14 x 14 patches, and the class token (224 x 224 pixels)' in text
    assert re.search(r"a guess: +act='gelu': that of deit", text)


@pytest.mark.parametrize('name', [*FILES, *INDICES, 'vit.npz', 'vit.pkl'])
def test_kinds_of_files(weights, saved, name):
    found = diagnose(open_weights(saved(weights, name)))
    assert (found.layout, found.sizes['num_layers'], found.presets) == ('timm ViT', 2, [])
    assert found.positions[0]['grid'] == [4, 4]
    built = MODELS.build(Config.fromstring(found.config, '.py').backbone)
    built.init_weights()
    assert torch.equal(built.cls_token, weights['cls_token'])


def test_images_of_bands(saved, capsys):
    """The lines of the config load them as the pre-training had them."""
    model = redraw(PlainViT(preset='softcon-small-s1', num_layers=1, embed_dims=192, num_heads=3))
    path = saved({**model.state_dict(), 'mask_token': torch.zeros(1, 192)})
    found = diagnose(open_weights(path), {'num_heads': 3})
    assert (found.families, found.options['in_channels']) == (['softcon'], 2)
    lines = Config.fromstring(found.config, '.py')
    assert lines.data_preprocessor == {'mean': [0.0], 'std': [255.0]}
    assert lines.stretch_bands == {'type': 'mmvitdense.StretchBands', 'mean': [-12.59, -20.26], 'std': [5.26, 5.91]}
    assert commands.main(['doctor', str(path), '--options', 'num_heads=3']) == 0
    assert 'mean=[0.0] std=[255.0] (bands VV VH)' in capsys.readouterr().out


def test_what_else_is_in_the_file(weights, saved, run):
    broken = {**weights, 'norm.bias': torch.full((192,), torch.inf), 'decoder_embed.weight': torch.zeros(4, 192)}
    averages = {f'ema_{name.replace(".", "_")}': tensor for name, tensor in broken.items()}
    code, report, _ = run(saved({'state_dict': {**broken, **averages}, 'meta': {'epoch': 3}}))
    found = report['file']
    assert code == 1
    assert found['families'] == ['mae']
    assert found['not_finite'] == {'norm.bias': 192}
    assert found['parts'] == {'decoder_embed': 768}
    assert found['ema_copies'] == len(broken)
    assert found['containers'] == ['state_dict']
    assert found['beside'] == {'meta': 'a dict of epoch'}


def test_an_adapter_and_an_oblong_table(saved):
    vit = {**WIDTH, 'num_layers': 4, 'img_size': (32, 128), 'pretrain_img_size': (32, 128)}
    model = ViTAdapter(vit, conv_inplane=4, interaction_indexes=((0, 0), (1, 1), (2, 2), (3, 3)), deform_num_heads=4)
    path = saved({f'backbone.{name}': x for name, x in model.state_dict().items()})
    holder = torch.nn.ModuleDict({'backbone': model, 'decode_head': torch.nn.Linear(2, 3)})
    torch.save(holder.state_dict(), path)
    found = diagnose(open_weights(path))
    assert (found.layout, found.sizes['num_layers']) == ('mmvitdense', 4)
    assert found.positions[0]['grid'] == [2, 8]
    assert {'decode_head', 'spm', 'interactions'} <= set(found.parts)
    assert found.parameters['vit'] == sum(p.numel() for p in model.vit.parameters())
    assert f'load_from = {str(path)!r}' in found.config


def test_what_stands_on_a_vit_and_a_part_of_one(saved, run):
    names = ('conv_seg.weight', 'conv_seg.bias', 'bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var')
    code, report, _ = run(saved({f'decode_head.{name}': torch.zeros(2) for name in names}))
    found = report['file']
    assert (code, found['lacks'], found['parts']) == (0, 'missing', {'decode_head': 12})
    assert "--trunk VIT\nload_from = 'WHOLE.pth'" in found['config']
    part = {'blocks.0.attn.qkv.weight': torch.zeros(3, 8), 'patch_embed.proj.weight': torch.zeros(8, 3, 2, 2)}
    code, _, error = run(saved(part))
    assert code == 2
    assert 'no whole ViT' in error


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('layers.0.blocks.0.attn.relative_position_bias_table', 'a Swin Transformer'),
        ('unheard.of', 'no known ViT format'),
    ],
)
def test_files_of_other_models(saved, run, name, sentence):
    code, report, error = run(saved({name: torch.zeros(2)}))
    assert (code, report) == (2, None)
    assert sentence in error
    assert error.count('\n') == 1


@pytest.fixture
def config(tmp_path):
    """A segmentor on a ViT with options."""

    def write(**options):
        backbone = {'type': 'mmvitdense.PlainViT', **WIDTH, 'out_indices': [1], **options}
        head = {'type': 'FCNHead', 'in_channels': 192, 'channels': 8, 'num_classes': 3, 'num_convs': 1}
        preprocessor = {
            'type': 'SegDataPreProcessor',
            'mean': [123.675, 116.28, 103.53],
            'std': [58.395, 57.12, 57.375],
        }
        model = {'type': 'EncoderDecoder', 'backbone': backbone, 'decode_head': head}
        model['data_preprocessor'] = {**preprocessor, 'bgr_to_rgb': True}
        path = tmp_path / 'config.py'
        path.write_text(f'default_scope = "mmseg"\ncustom_imports = dict(imports=["mmvitdense"])\nmodel = {model!r}\n')
        return path

    pytest.importorskip('mmseg')
    return write


class TestConfig:
    def test_fits(self, weights, saved, run, config):
        path = saved({**weights, 'head.weight': torch.zeros(3, 192)})
        options = {'init_cfg': {'type': 'ViTPretrained', 'checkpoint': 'elsewhere.pth'}}
        code, report, _ = run(path, '--config', config(pretrain_img_size=96, rel_pos='decomposed', **options))
        found = report['config']
        assert code == 0
        assert (found['part'], found['resized']) == ('backbone', ['pos_embed 4x4 -> 6x6'])
        assert found['missing'] == [f'blocks.{i}.attn.rel_pos_{axis}' for i in range(2) for axis in 'hw']
        assert set(found['left_over']) == {'cls_token', 'head.weight', 'norm.weight', 'norm.bias'}
        lacking = 2 * 2 * (2 * 14 - 1) * 64
        assert found['parameters'] - found['loaded'] == lacking
        assert re.search(r': \d\d\.\d+ % of its .*, 1 table is resized, 4 weights start', found['verdict'])
        assert found['coverage'] == pytest.approx(100 * found['loaded'] / found['parameters'])
        assert 'fits backbone of' in found['verdict']
        assert any('do not determine' in warning for warning in found['warnings'])

    def test_does_not_fit(self, weights, saved, run, config):
        code, report, _ = run(saved(weights), '--config', config(embed_dims=96))
        assert code == 1
        assert not report['config']['fits']
        assert re.search('does not fit backbone of .*another shape', report['config']['verdict'])

    def test_other_pixels_than_those_of_the_weights(self, weights, saved, run, config):
        siglip = {name: x for name, x in weights.items() if name != 'cls_token'}
        siglip['pos_embed'] = weights['pos_embed'][:, 1:]
        _, report, _ = run(saved(siglip), '--config', config())
        assert any('had mean=[127.5, 127.5, 127.5]' in warning for warning in report['config']['warnings'])

    def test_a_whole_model(self, weights, saved, run, config):
        path = config(with_cls_token=True, final_norm='last', pretrain_img_size=64)
        head = {'decode_head.conv_seg.weight': torch.zeros(3, 8, 1, 1), 'decode_head.conv_seg.bias': torch.zeros(3)}
        whole = {**{f'backbone.{name}': x for name, x in weights.items()}, **head}
        _, report, _ = run(saved(whole), '--config', path)
        assert report['config']['coverage'] == 100
        assert 90 < report['config']['whole_model'] < 100

    def test_no_vit(self, weights, saved, run, config):
        path = config()
        path.write_text(re.sub(r"'backbone': \{.*?\}", "'backbone': {'type': 'ResNet', 'depth': 18}", path.read_text()))
        code, _, error = run(saved(weights), '--config', path)
        assert code == 2
        assert 'its backbone is a ResNet' in error


class TestCompare:
    def compare(self, run, first, second):
        code, report, _ = run(first, '--compare', second)
        assert code == (0 if report['comparison']['same'] else 1)
        return report['comparison']

    def test_the_same_in_another_layout(self, weights, saved, run):
        found = self.compare(run, saved(weights), saved(transformers_vit(weights), 'hf.safetensors'))
        assert found['same']
        assert found['features'] < 1e-6
        assert (found['weights'], found['only_in_first']) == (0, [])

    def test_bit_for_bit(self, weights, saved, run):
        found = self.compare(run, saved(weights), saved({**weights, 'head.bias': torch.zeros(2)}, 'b.pth'))
        assert 'bit for bit' in found['verdict']

    @pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
    def test_rounded(self, weights, saved, run, kind):
        found = self.compare(run, saved(weights), saved({n: x.to(kind) for n, x in weights.items()}, 'half.pth'))
        assert found['same']
        assert 'within the rounding' in found['verdict']

    def test_one_weight_is_another(self, weights, saved, run):
        turned = {**weights, 'blocks.1.mlp.fc1.weight': weights['blocks.1.mlp.fc1.weight'].flip(0)}
        found = self.compare(run, saved(weights), saved(turned, 'b.pth'))
        assert not found['same']
        assert found['worst'] == 'blocks.1.mlp.fc1.weight'
        assert 'hold other features' in found['verdict']

    def test_options_that_the_files_imply_otherwise(self, weights, saved, run):
        """The same weights with a sign of iBOT beside them, whose rule of resizing is another."""
        found = self.compare(run, saved(weights), saved({**weights, 'masked_embed': torch.zeros(1, 192)}, 'ibot.pth'))
        assert set(found['options']) == {'pos_resize'}
        assert found['weights'] == 0
        assert 'bit for bit, but imply other options of the model: pos_resize' in found['verdict']

    def test_options_that_a_conversion_recorded(self, weights, saved, run, tmp_path):
        """They are in no weight, and those of the layout that a converted file looks like are others."""
        first, converted = saved(weights), tmp_path / 'converted.pth'
        write_conversion(convert_file(first, options={'act': 'quick_gelu'}), converted)
        assert set(self.compare(run, first, converted)['options']) == {'act'}
        code, report, _ = run(first, '--compare', converted, '--options', 'act=quick_gelu')
        assert code == 0
        assert 'bit for bit' in report['comparison']['verdict']
        found = diagnose(open_weights(str(converted)))
        assert (found.options['act'], 'act' in found.guesses) == ('quick_gelu', False)
        assert "act='quick_gelu'" in found.config

    def test_other_models(self, weights, saved, run):
        deeper = {name.replace('blocks.1', 'blocks.2'): x for name, x in weights.items() if 'blocks.1' in name}
        found = self.compare(run, saved(weights), saved({**weights, **deeper}, 'b.pth'))
        assert not found['same']
        assert set(found['only_in_second']) == set(deeper)

    def test_nan(self, weights, saved, run):
        found = self.compare(
            run, saved({**weights, 'norm.bias': weights['norm.bias'] * torch.nan}), saved(weights, 'b.pth')
        )
        assert not found['same']
        assert found['not_finite'] == ['norm.bias']


class FakeHub(types.ModuleType):
    """What is used of huggingface_hub, with files by their names."""

    def __init__(self, folder):
        super().__init__('huggingface_hub')
        self.folder = folder

    def snapshot_download(self, name, revision=None, allow_patterns=None):
        found = self.folder / str('*.pth' in allow_patterns)
        found.mkdir(exist_ok=True)
        return str(found)


def test_the_hub(weights, saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', FakeHub(tmp_path))
    with pytest.raises(DownloadError, match='has no file of weights'):
        open_weights('someone/vit')
    saved(weights, 'True/vit.pth')
    file = open_weights('someone/vit')
    assert file.address == 'https://huggingface.co/someone/vit/resolve/main/vit.pth'
    assert file.tensors.keys() == weights.keys()
    saved(weights, 'True/other.pth')
    with pytest.raises(InputError, match='2 files of weights, other.pth, vit.pth: give one'):
        open_weights('someone/vit')
    saved(weights, 'False/model.safetensors')
    assert open_weights('someone/vit').path.endswith('False/model.safetensors')
    assert open_weights(tmp_path / 'False').path.endswith('model.safetensors')


@pytest.fixture
def address(tmp_path, monkeypatch):
    """What a server on this machine has of a folder."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()


@pytest.mark.parametrize('name', ['vit.safetensors', *INDICES])
def test_an_address(weights, saved, run, address, name):
    """Of a file, or of an index, beside which its parts are."""
    saved(weights, name)
    code, report, error = run(f'{address}/{name}')
    assert code == 0, error
    assert report['file']['layout'] == 'timm ViT'
    built = MODELS.build(Config.fromstring(report['file']['config'], '.py').backbone)
    built.init_weights()
    assert torch.equal(built.norm.bias, weights['norm.bias'])
    code, _, error = run(f'{address}/nothing.safetensors')
    assert code == 2
    assert '404' in error


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin', *INDICES])
def test_a_folder_of_the_hub_is_its_weights(weights, saved, run, tmp_path, name):
    """Wherever a file may be given, as a config.json says what the folder is."""
    saved(weights, name)
    if name != 'pytorch_model.bin':
        saved({'x': torch.zeros(1)}, 'training_state.pth')
    with pytest.raises(CheckpointError, match='is a folder; expected a checkpoint in it'):
        read_checkpoint(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "vit"}')
    assert read_checkpoint(tmp_path).keys() == weights.keys()
    assert run(tmp_path)[0] == 0
    model = PlainViT(**WIDTH, pretrain_img_size=64, init_cfg={'type': 'ViTPretrained', 'checkpoint': str(tmp_path)})
    model.init_weights()
    assert torch.equal(model.patch_embed.proj.bias, weights['patch_embed.proj.bias'])


@pytest.mark.parametrize(
    ('change', 'code', 'words'),
    [
        (lambda w: {**w, 'pos_embed': w['pos_embed'][0]}, 2, 'pos_embed has 2 axes, and 3 or 4 in the codes of ViTs'),
        (lambda w: {**w, 'patch_embed.proj.weight': torch.zeros(192, 768)}, 2, 'patch_embed.proj.weight has 2 axes'),
        (lambda w: {**w, 'norm.bias': torch.zeros(192).to_sparse()}, 2, 'norm.bias as a sparse tensor'),
        (lambda w: {f'{part}.{n}': x for part in 'ab' for n, x in w.items()}, 2, "of 2 ViTs, under 'a.' and 'b.'"),
        (lambda w: {'outer': {'inner': w}}, 2, 'holds no tensors, found a dict of outer'),
        (lambda w: {**w, 'norm.bias': torch.zeros(192, dtype=torch.int8)}, 1, 'norm.bias has numbers of type int8'),
        (lambda w: {n: x for n, x in w.items() if n != 'blocks.1.norm2.bias'}, 1, 'first blocks.1.norm2.bias'),
        (lambda w: {**w, 'blocks.1.mlp.fc1.bias': torch.zeros(7)}, 1, 'blocks.1.mlp.fc1.bias is (7,) in the file'),
    ],
)
def test_weights_of_no_model(weights, saved, run, change, code, words):
    found, report, error = run(saved(change(weights)))
    assert found == code
    assert words in (error if code == 2 else report['file']['misfit'])


@pytest.mark.parametrize(
    ('name', 'content', 'words'),
    [
        ('vit.pth', b'', 'is an empty file'),
        ('vit.safetensors', b'', 'is an empty file'),
        ('vit.safetensors', b'version https://git-lfs.github.com/spec/v1\noid', 'is the pointer of Git LFS'),
        ('vit.pth', b'<!DOCTYPE html><html>', 'is a page of the web'),
        ('vit.pth', b'words', "is a text and no checkpoint, beginning with 'words'"),
        ('vit.safetensors', b'{"error": "Not found"}', 'is a text and no checkpoint'),
        ('vit.bin', b'GGUF\x03\x00', 'is a file of GGUF'),
        ('vit.h5', b'\x89HDF\r\n\x1a\n', 'is a file of HDF5, as Keras writes'),
        ('vit.pth.tar', bytes(257) + b'ustar', 'is an archive of tar: unpack it'),
        ('vit.pth', b'\x08\x07', 'is not a checkpoint'),
    ],
)
def test_files_without_weights(tmp_path, run, name, content, words):
    (tmp_path / name).write_bytes(content)
    code, _, error = run(tmp_path / name)
    assert code == 2
    assert words in error


def test_safetensors_of_another_name(weights, saved, tmp_path):
    """And numbers of 8 bits are written as they are."""
    small = {name: x.to(torch.float8_e4m3fn) if x.ndim == 2 else x for name, x in weights.items()}
    path = saved(small, 'vit.safetensors').rename(tmp_path / 'vit.pth')
    found = diagnose(open_weights(path))
    assert (found.layout, found.misfit) == ('timm ViT', None)
    assert commands.main(['convert', str(path), str(tmp_path / 'out.safetensors')]) == 0
    assert read_checkpoint(tmp_path / 'out.safetensors')['blocks.0.mlp.fc1.weight'].dtype == torch.float8_e4m3fn
