"""Models as folders: what is opened is what was written, to the last bit, and nothing in a folder is run."""

import json
import math
import re
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch

from mmvitdense import commands
from mmvitdense.apis import Inferencer
from mmvitdense.apis.errors import InputError
from mmvitdense.apis.pretrained import (
    PretrainedError,
    from_pretrained,
    is_hub_id,
    is_pretrained_folder,
    open_pretrained,
    publish_model,
    push_to_hub,
    save_pretrained,
)
from mmvitdense.apis.pretrained.config_check import check_config
from mmvitdense.apis.pretrained.config_data import from_data, to_data
from mmvitdense.apis.pretrained.weights import fingerprint_of, write_weights
from mmvitdense.checkpoints import CheckpointError, read_checkpoint, read_file
from mmvitdense.downloads import DownloadError
from mmvitdense.registry import MODELS
from tests.reliability.place import make_place

pytest.importorskip('safetensors')
KINDS = ('detector', 'segmentor')
IMAGE = 'data/shapes/images/validation/000000.jpg'
PLACES = {
    'detector': ('data/shapes', 'instance segmentation'),
    'segmentor': ('data/shapes', 'semantic segmentation'),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A detector and a segmentor, published: `published/detector`, `published/segmentor`."""
    place = make_place(tmp_path_factory.mktemp('place')).folder
    for kind in KINDS:
        checkpoint = torch.load(place / f'{kind}.pth')
        # As a run with an average leaves it: `state_dict` is what tests evaluate.
        raw = {f'module.{name}': value + 1 for name, value in checkpoint['state_dict'].items()}
        extra = {'ema_state_dict': raw, 'optimizer': {'state': {}}, 'message_hub': {}}
        torch.save({**checkpoint, **extra}, place / f'{kind}.pth')
        publish_model(place / f'{kind}.py', place / f'{kind}.pth', place / 'published' / kind, licence='mit')
    return place


@pytest.fixture
def folder(place, tmp_path):
    """A copy of the detector's folder, to spoil."""
    return Path(shutil.copytree(place / 'published/detector', tmp_path / 'detector'))


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_opened_is_what_was_written(place, kind, monkeypatch):
    monkeypatch.chdir(place)
    model = from_pretrained(f'published/{kind}', device='cpu')
    assert not model.training
    expected = torch.load(f'{kind}.pth')['state_dict']
    state = model.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    ours, theirs = Inferencer(f'published/{kind}'), Inferencer(f'{kind}.py', f'{kind}.pth')
    assert ours.classes == theirs.classes == tuple(model.dataset_meta['classes'])
    results = [inferencer(IMAGE, score_thr=0) for inferencer in (ours, theirs)]
    assert results[0].to_dict() == results[1].to_dict()
    if kind == 'detector':
        assert len(results[0]) > 0
        assert (results[0].scores == results[1].scores).all()
    else:
        assert (results[0].label_map == results[1].label_map).all()
    description = json.loads(Path(f'published/{kind}/config.json').read_text())
    assert description['task'] == PLACES[kind][1]
    assert description['classes'] == list(ours.classes)
    assert len(description['palette']) == len(ours.classes)
    assert 'optimizer' not in str(list(Path(f'published/{kind}').iterdir()))


@pytest.mark.parametrize('kind', KINDS)
def test_the_snippet_of_the_card_runs(place, kind, tmp_path, monkeypatch, capsys):
    shutil.copy(place / IMAGE, tmp_path / 'image.jpg')
    shutil.copytree(place / 'published' / kind, tmp_path / kind)
    monkeypatch.chdir(tmp_path)
    card = Path(kind, 'README.md').read_text()
    (code,) = re.findall(r'```python\n(.+?)```', card, re.DOTALL)
    exec(code, {})
    assert 'height' in capsys.readouterr().out
    assert 'license: "mit"' in card
    assert 'data/shapes' in card


def test_the_snippet_of_the_page_runs(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename('mine')
    page = (Path(__file__).parents[2] / 'docs' / 'command.md').read_text()
    (code,) = re.findall(r'```python\n(.+?)```', page, re.DOTALL)
    exec(code, {})
    assert is_pretrained_folder('again')


def test_the_program_says_what_the_data_says(folder):
    from mmengine.config import Config

    program = Config.fromfile(folder / 'config.py').to_dict()
    assert program == open_pretrained(folder).config.to_dict()
    assert not {'work_dir', 'load_from', 'launcher'} & set(program)


def test_parts_and_a_hash_in_the_name(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    model = from_pretrained('published/segmentor', device='cpu')
    parts = save_pretrained(model, tmp_path / 'parts', max_shard_size='1MB')
    files = sorted(path.name for path in parts.glob('*.safetensors'))
    assert len(files) > 1
    assert files[0] == f'model-00001-of-{len(files):05}.safetensors'
    assert all((parts / name).stat().st_size < 1.3e6 for name in files)
    assert open_pretrained(parts).weights == str(parts / 'model.safetensors.index.json')
    again = from_pretrained(parts, device='cpu').state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())
    (parts / files[1]).unlink()
    with pytest.raises(PretrainedError, match=f'{files[1]} is missing'):
        open_pretrained(parts)
    with pytest.raises(CheckpointError, match=r'is not beside it'):
        read_checkpoint(parts / 'model.safetensors.index.json')
    with pytest.raises(InputError, match='raise --max-shard-size'):
        save_pretrained(model, tmp_path / 'no', max_shard_size='1MB', hash_in_name=True)

    hashed = save_pretrained(model, tmp_path / 'hashed', name='mine', hash_in_name=True)
    (file,) = hashed.glob('*.safetensors')
    assert file.name == f'mine-{fingerprint_of(file)["sha256"][:8]}.safetensors'
    assert from_pretrained(hashed, device='cpu').dataset_meta == model.dataset_meta
    with pytest.raises(InputError, match='holds a model'):
        save_pretrained(model, hashed)
    save_pretrained(model, hashed, overwrite=True)
    assert [path.name for path in hashed.glob('*.safetensors')] == ['model.safetensors']
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/notes.txt').touch()
    with pytest.raises(InputError, match='holds other files'):
        save_pretrained(model, tmp_path / 'other', overwrite=True)


def _described(change):
    def spoil(folder):
        path = folder / 'config.json'
        description = json.loads(path.read_text())
        changed = change(description)
        path.write_text(json.dumps(description if changed is None else changed))

    return spoil


def _config(change):
    return _described(lambda description: change(description['config']))


def _bytes(change):
    def spoil(folder):
        path = folder / 'model.safetensors'
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _other_shapes(folder):
    """Weights that are whole and of another model."""
    from safetensors.torch import load_file, save_file

    path = folder / 'model.safetensors'
    state = load_file(path)
    state['backbone.patch_embed.proj.weight'] = torch.zeros(8, 3, 16, 16)
    save_file(state, path)
    _described(lambda d: d['weights']['files'].update({'model.safetensors': fingerprint_of(path)}))(folder)


def _hook_as_model(folder):
    (folder / 'RuntimeInfoHook.py').write_text(EVIL)
    _config(lambda c: c['model'].update(type='RuntimeInfoHook'))(folder)


EVIL = 'open("marker", "w")'
BAD = {
    'no config': (lambda folder: (folder / 'config.json').unlink(), 'has no config.json'),
    'torn config': (lambda folder: (folder / 'config.json').write_text('{"format": '), 'cannot be read as JSON'),
    'other config': (_described(lambda d: d.__delitem__('format')), 'no description of a model of mmvitdense'),
    'list': (_described(lambda d: [d]), 'no description of a model of mmvitdense'),
    'newer': (_described(lambda d: d.update(format_version=2)), 'version 2 of the format .* newer mmvitdense'),
    'no weights said': (_described(lambda d: d.update(weights={})), 'does not say which files'),
    'no classes': (_described(lambda d: d.__delitem__('classes')), "no list 'classes'"),
    'weights above': (_described(lambda d: d['weights']['files'].update({'../x': {}})), "names '../x'"),
    'no weights': (lambda folder: (folder / 'model.safetensors').unlink(), 'model.safetensors is missing'),
    'torn weights': (_bytes(lambda content: content[:-9]), r'bytes and not \d+: copy or fetch'),
    'other weights': (_bytes(lambda content: content[:-1] + b'\x7f'), 'another SHA-256'),
    'other shapes': (_other_shapes, r'of another shape \(backbone.patch_embed.proj.weight'),
    'no model': (_config(lambda c: c.__delitem__('model')), 'has no model'),
    'no tuple': (_config(lambda c: c.update(train_cfg={'__tuple__': 3})), '__tuple__ with .3.'),
    'no scope': (_config(lambda c: c.update(default_scope='os')), "default_scope is 'os'"),
    'unknown type': (_config(lambda c: c['model'].update(type='Nothing')), "config.model.type is 'Nothing'"),
    'unknown in scope': (_config(lambda c: c['model'].update(type='mmdet.Nothing')), "'mmdet.Nothing', which"),
    'program': (_config(lambda c: c['model'].update(type='subprocess.Popen', args='touch marker')), 'subprocess.Popen'),
    'path': (_config(lambda c: c['model'].update(type='mmdet.apis.init_detector')), 'mmdet.apis.init_detector'),
    'builtin': (_config(lambda c: c['model'].update(type='builtins.eval', source=EVIL)), 'builtins.eval'),
    'module here': (_config(lambda c: c['model'].update(type='evil')), "config.model.type is 'evil'"),
    'number': (_config(lambda c: c['model'].update(type=3)), "config.model.type is '3'"),
    'constructor': (_config(lambda c: c['optim_wrapper'].update(constructor='evil.Constructor')), 'constructor is'),
    'own scope': (_config(lambda c: c['model'].update(_scope_='evil')), 'preprocessor.type is '),
    'expression': (
        _config(lambda c: c['model']['test_cfg']['rcnn']['nms'].update(type=EVIL)),
        r'config.model.test_cfg.rcnn.nms.type is .open\(',
    ),
    'hook': (
        _config(lambda c: c.update(custom_hooks=[{'type': 'mmengine.RuntimeInfoHook'}, {'type': 'mmcv.RFSearchHook'}])),
        'custom_hooks.1.type',
    ),
    'runs text': (
        _config(lambda c: c.update(motion={'type': 'CameraMotionCompensation', 'warp_mode': EVIL})),
        'runs text of a config as a program',
    ),
    'runner': (_config(lambda c: c.update(runner_type='evil')), "config.runner_type is 'evil'"),
    'module of the name of a hook': (_hook_as_model, "config.model.type is 'RuntimeInfoHook'"),
    'config file': (_config(lambda c: c['model'].update(teacher_config='evil.py')), 'names a config file'),
    'imports': (_config(lambda c: c['custom_imports']['imports'].append('evil')), "the module 'evil'"),
    'relative imports': (_config(lambda c: c['custom_imports'].update(imports=['..evil'])), 'names of modules'),
    'absent import': (_config(lambda c: c['custom_imports'].update(imports=['mmdet.evil'])), 'cannot be imported'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_folder_is_refused_in_one_sentence_and_nothing_runs(folder, name, monkeypatch):
    spoil, words = BAD[name]
    spoil(folder)
    (folder / 'evil.py').write_text(f'{EVIL}\nmodel = dict(type="MaskRCNN")\n')
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    with pytest.raises((PretrainedError, CheckpointError), match=words) as caught:
        from_pretrained(folder, device='cpu')
    assert '\n' not in str(caught.value)
    assert not Path('marker').exists()
    assert 'evil' not in sys.modules


def test_versions_of_layers_are_kept(tmp_path):
    """Layers recognise weights with old names by them: batch norm, attention of mmcv, heads of DETR."""
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    for largest in (10**9, 8):
        written = write_weights(tmp_path, layers.state_dict(), largest)
        assert read_file(tmp_path / written['file'])._metadata == layers.state_dict()._metadata


def test_shared_weights_are_written_twice_and_read_as_one(tmp_path):
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    layers[1].weight = layers[0].weight
    state = read_file(tmp_path / write_weights(tmp_path, layers.state_dict(), 10**9)['file'])
    assert set(state) == set(layers.state_dict())
    assert torch.equal(state['1.weight'], layers[0].weight)


def test_models_that_are_imported_when_they_are_asked_for_are_asked_for(monkeypatch):
    asked, import_for = [], MODELS.import_for
    monkeypatch.setattr(MODELS, 'import_for', lambda name: asked.append(name) or import_for(name))
    head = {'mask_head': {'type': 'mmvitdense.Detectron2MaskHead'}}
    check_config({'default_scope': 'mmdet', 'model': {'type': 'MaskRCNN', 'roi_head': head}})
    assert asked == ['Detectron2MaskHead']


def test_the_config_as_data_is_exact():
    value = {'a': (1, 2.5, ('x',)), 'b': [math.inf, -math.inf, None, True], 1: {'__tuple__': 'mine'}, 'c': {}}
    data = json.loads(json.dumps(to_data(value), allow_nan=False))
    assert from_data(data) == value
    assert math.isnan(from_data(to_data(math.nan)))
    with pytest.raises(PretrainedError, match=r'config.model.norm is a builtin_function'):
        to_data({'model': {'norm': len}})


def test_only_our_folders_are_ours(folder, tmp_path):
    assert is_pretrained_folder(folder)
    assert not is_pretrained_folder(tmp_path)
    assert not is_pretrained_folder(folder / 'config.json')
    (tmp_path / 'config.json').write_text('[]')
    assert not is_pretrained_folder(tmp_path)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('me/vit.det-b', True),
        ('me', False),
        ('a/b/c', False),
        ('mine/c.py', False),
        ('../x', False),
        ('a/b.pth', False),
    ],
)
def test_names_of_the_hub(name, expected):
    assert is_hub_id(name) is expected


class FakeHub(types.ModuleType):
    """What is used of huggingface_hub, with one repository in a folder."""

    def __init__(self, folder):
        super().__init__('huggingface_hub')
        self.folder, self.calls = folder, []

    def snapshot_download(self, name, revision=None, allow_patterns=None):
        self.calls.append((name, revision, allow_patterns))
        if name != 'me/mine':
            raise type('RepositoryNotFoundError', (OSError,), {})('404 Client Error.\n\nRepository Not Found')
        return str(self.folder)

    def HfApi(self, token=None):  # noqa: N802
        return self

    def create_repo(self, name, private=None, exist_ok=False):
        self.calls.append(('create', name, private, exist_ok))

    def create_branch(self, name, branch, exist_ok):
        self.calls.append(('branch', name, branch, exist_ok))

    def upload_folder(self, repo_id, folder_path, revision, commit_message, allow_patterns):
        from fnmatch import fnmatch

        names = [path.name for path in Path(folder_path).iterdir()]
        self.uploaded = {name for name in names if any(fnmatch(name, pattern) for pattern in allow_patterns)}
        return types.SimpleNamespace(commit_url=f'https://hub/{repo_id}/commit/1')


@pytest.fixture
def hub(folder, monkeypatch):
    fake = FakeHub(folder)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', fake)
    return fake


def test_to_the_hub_and_back(hub, folder):
    (folder / 'secrets.txt').touch()
    address = push_to_hub(folder, 'me/mine', private=True, revision='next')
    assert address == 'https://hub/me/mine/commit/1'
    assert hub.uploaded == {'config.json', 'config.py', 'README.md', 'model.safetensors'}
    assert hub.calls == [('create', 'me/mine', True, True), ('branch', 'me/mine', 'next', True)]
    assert "Inferencer('me/mine')" in (folder / 'README.md').read_text()
    model = from_pretrained('me/mine', revision='next', device='cpu')
    assert model.dataset_meta['classes'][0] == 'circle'
    name, revision, wanted = hub.calls[-1]
    assert (name, revision) == ('me/mine', 'next')
    assert not any(pattern.endswith(('.py', '*')) for pattern in wanted), 'no program is fetched'
    with pytest.raises(DownloadError, match=r'does not serve me/other: check the name; .*`hf auth login`') as caught:
        from_pretrained('me/other')
    assert '\n' not in str(caught.value)
    (folder / 'model.safetensors').unlink()
    with pytest.raises(PretrainedError, match='is missing'):
        push_to_hub(folder, 'me/mine')
    with pytest.raises(InputError, match='expected OWNER/NAME'):
        push_to_hub(folder, 'mine')


def test_without_huggingface_hub_one_sentence_says_what_to_install(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for call in (lambda: from_pretrained('me/mine'), lambda: push_to_hub(folder, 'me/mine')):
        with pytest.raises(InputError, match='pip install huggingface_hub'):
            call()
    with pytest.raises(PretrainedError, match='neither a folder nor a model'):
        from_pretrained('nowhere')
    with pytest.raises(PretrainedError, match='a revision'):
        from_pretrained(folder, revision='main')


def test_the_command(place, tmp_path, monkeypatch, capsys, hub):
    monkeypatch.chdir(place)
    metrics = tmp_path / 'metrics.json'
    metrics.write_text(json.dumps({'mIoU': 41.5, 'IoU.ring': 3.0}))
    out = tmp_path / 'out'
    options = ['--results', metrics, '--name', 'seg', '--hash', '--push-to-hub', 'me/mine']
    arguments = ['publish', 'segmentor.py', 'segmentor.pth', out, *options]
    assert commands.main([*map(str, arguments)]) == 0
    assert 'uploaded: https://hub/me/mine/commit/1' in capsys.readouterr().out
    card = (out / 'README.md').read_text()
    assert '| mIoU | 41.5 |' in card
    assert 'IoU.ring' not in card
    assert 'licence of these weights: not given' in card
    for arguments, words in (
        (['segmentor.py', 'segmentor.pth', out], 'holds a model'),
        (['segmentor.py', 'detector.pth', tmp_path / 'b'], 'does not fit the model'),
        (['segmentor.py', 'segmentor.pth', tmp_path / 'b', '--max-shard-size', 'big'], '--max-shard-size big'),
        (['segmentor.py', 'segmentor.pth', tmp_path / 'b', '--results', 'none.json'], 'cannot be read as JSON'),
        (['segmentor.py', 'segmentor.pth', tmp_path / 'b', '--private'], 'add --push-to-hub'),
    ):
        assert commands.main(['publish', *map(str, arguments)]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / 'b').exists()
