"""Reading checkpoint files: containers, formats, and files that are refused."""

import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, read_checkpoint
from mmvitdense.checkpoints.files import wrapped

WEIGHTS = {'a.weight': torch.arange(6.0).reshape(2, 3), 'a.bias': torch.ones(2, dtype=torch.float16)}


class Payload:
    """Pickles as the deletion of a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.remove, (self.path,)


def assert_weights(found):
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    'content',
    [
        WEIGHTS,
        {'model': WEIGHTS, 'epoch': 3, 'optimizer': {'state': {}}},
        {'state_dict': WEIGHTS, 'arch': 'vit_base'},
        {'model': {'state_dict': WEIGHTS}},
        {'student': {'other': torch.zeros(1)}, 'teacher': WEIGHTS},
        {**WEIGHTS, 'epoch': 3},
    ],
    ids=['flat', 'model', 'state_dict', 'nested', 'teacher', 'with-numbers'],
)
@pytest.mark.parametrize('as_text', [True, False], ids=['str', 'Path'])
def test_containers(tmp_path, content, as_text):
    path = tmp_path / 'weights.pth'
    torch.save(content, path)
    assert_weights(read_checkpoint(str(path) if as_text else path))


def test_legacy_format_of_torch(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    assert_weights(read_checkpoint(path))


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    path = tmp_path / 'model.safetensors'
    safetensors.save_file(WEIGHTS, path)
    assert_weights(read_checkpoint(path))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r'model\.safetensors is cut short or damaged'):
        read_checkpoint(path)


def test_a_checkpoint_that_mmengine_wrote(tmp_path):
    """It holds more than tensors: the history of the log and the settings of the run."""
    from mmengine.logging import HistoryBuffer

    message_hub = {'log_scalars': {'train/loss': HistoryBuffer([0.5], [1])}, 'runtime_info': {'iter': 1}}
    path = tmp_path / 'iter_1.pth'
    torch.save({'meta': {'iter': 1, 'cfg': 'a = 1'}, 'state_dict': WEIGHTS, 'message_hub': message_hub}, path)
    assert_weights(read_checkpoint(path))


def test_no_file(tmp_path):
    path = tmp_path / 'nothing.pth'
    with pytest.raises(CheckpointError, match=re.escape(f'The checkpoint {path} does not exist')):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match='is a folder without checkpoints'):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('kept', [0.0, 0.02, 0.3, 0.7, 0.95])
def test_a_truncated_file(tmp_path, zipped, kept):
    path = tmp_path / 'part.pth'
    torch.save({'a.weight': torch.randn(50, 50)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r'part\.pth'):
        read_checkpoint(path)


@pytest.mark.parametrize('content', [b'<html>404 Not Found</html>', b'\x89PNG\r\n\x1a\n' + bytes(100), b'{"a": 1}'])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / 'page.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'page\.pth'):
        read_checkpoint(path)


@pytest.mark.parametrize('with_torch', [True, False])
def test_pickled_code_is_not_run(tmp_path, with_torch):
    victim, path = tmp_path / 'victim', tmp_path / 'evil.pth'
    victim.touch()
    content = {**WEIGHTS, 'payload': Payload(str(victim))}
    if with_torch:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match=r'evil\.pth holds more than weights'):
        read_checkpoint(path)
    assert victim.exists()


def test_what_mmengine_lets_through_reaches_nothing_else(tmp_path):
    """Its files name methods of `HistoryBuffer`, by `getattr`."""
    from mmengine.logging import HistoryBuffer

    class Attribute:
        def __reduce__(self):
            return getattr, (HistoryBuffer, '__init__')

    torch.save({**WEIGHTS, 'payload': Attribute()}, tmp_path / 'evil.pth')
    with pytest.raises(
        CheckpointError, match=r"holds more than weights \(the attribute '__init__' of .*could run code"
    ):
        read_checkpoint(tmp_path / 'evil.pth')


class TestPickledArrays:
    """Files of detectron2."""

    @pytest.mark.parametrize('protocol', [2, 4, 5])
    def test_arrays_become_tensors(self, tmp_path, protocol):
        content = {
            'model': {name: tensor.numpy() for name, tensor in WEIGHTS.items()},
            '__author__': 'Detectron2',
            'scale': np.float64(2.0),
        }
        path = tmp_path / 'model.pkl'
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        found = read_checkpoint(path)
        assert_weights(found)
        found['a.weight'] += 1  # memory of their own

    def test_names_of_older_and_newer_numpy(self, tmp_path):
        whole = pickle.dumps({'model': {'a': np.arange(3.0)}}, protocol=2)
        for old, new in ((b'numpy._core.', b'numpy.core.'), (b'numpy.core.', b'numpy._core.')):
            path = tmp_path / 'model.pkl'
            path.write_bytes(whole.replace(old, new))
            assert read_checkpoint(path)['a'].tolist() == [0.0, 1.0, 2.0]

    def test_another_byte_order(self, tmp_path):
        path = tmp_path / 'model.pkl'
        path.write_bytes(pickle.dumps({'a': np.arange(3, dtype='>f4')}))
        assert read_checkpoint(path)['a'].tolist() == [0.0, 1.0, 2.0]

    @pytest.mark.parametrize('payload', ['os.remove', 'numpy.load', 'builtins.eval'])
    def test_anything_else_is_refused(self, tmp_path, payload):
        victim = tmp_path / 'victim'
        victim.touch()
        module, name = payload.split('.')
        call = f'c{module}\n{name}\n(V{victim}\ntR.'.encode()
        path = tmp_path / 'evil.pkl'
        path.write_bytes(b'\x80\x02' + call)
        with pytest.raises(CheckpointError, match=rf'evil\.pkl holds more than weights \({module}\.{name}\)'):
            read_checkpoint(path)
        assert victim.exists()

    def test_cut_short(self, tmp_path):
        path = tmp_path / 'part.pkl'
        path.write_bytes(pickle.dumps({'a': np.zeros(100)})[:300])
        with pytest.raises(CheckpointError, match=r'part\.pkl'):
            read_checkpoint(path)


class TestTorchScript:
    """As OpenAI publishes CLIP."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList([torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)])
            self.shared = self.blocks[0]
            self.transposed = torch.nn.Parameter(torch.randn(6, 3).half().t())  # not contiguous
            self.register_buffer('index', torch.arange(5))
            self.register_buffer('empty', torch.empty(0))
            self.sizes = [1, 2]

        def forward(self, image):
            return self.blocks[1](self.shared(image)) + float(self.sizes[0])

    def test_equals_what_torch_reads(self, tmp_path):
        path = tmp_path / 'model.pt'
        torch.jit.script(self.Model()).save(str(path))
        expected = torch.jit.load(path).state_dict()
        found = read_checkpoint(path)
        assert found.keys() == expected.keys()
        assert all(found[name].dtype == value.dtype for name, value in expected.items())
        assert all(torch.equal(found[name], value) for name, value in expected.items())

    def test_its_program_is_not_run(self, tmp_path):
        victim, path = tmp_path / 'victim', tmp_path / 'evil.pt'
        victim.write_bytes(bytes(16))

        class Evil(torch.nn.Module):
            def __init__(self, target: str):
                super().__init__()
                self.target = target
                self.weight = torch.nn.Parameter(torch.ones(2))

            @torch.jit.export
            def __getstate__(self):
                return self.target, self.weight, self.training

            @torch.jit.export
            def __setstate__(self, state: tuple[str, torch.Tensor, bool]):
                self.target, self.weight, self.training = state
                self.weight = torch.from_file(state[0], shared=True, size=4, dtype=torch.float32).fill_(2.0)

            def forward(self):
                return self.weight

        torch.jit.script(Evil(str(victim))).save(str(path))
        torch.jit.load(path)
        assert victim.read_bytes() == torch.full((4,), 2.0).numpy().tobytes()  # the file does what it is made for
        victim.write_bytes(bytes(16))
        with pytest.raises(CheckpointError, match=r'evil\.pt holds more than weights \(TorchScript .*torch\.jit\.load'):
            read_checkpoint(path)
        assert victim.read_bytes() == bytes(16)

    def test_anything_but_tensors_is_refused(self, tmp_path):
        victim, path = tmp_path / 'victim', tmp_path / 'evil.pt'
        victim.touch()
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('evil/constants.pkl', pickle.dumps(()))
            archive.writestr('evil/data.pkl', f'\x80\x02cos\nremove\n(V{victim}\ntR.'.encode('latin1'))
        with pytest.raises(CheckpointError, match=r'evil\.pt holds more than weights \(os\.remove\)'):
            read_checkpoint(path)
        assert victim.exists()

    @pytest.mark.parametrize('kept', [0.1, 0.5, 0.9])
    def test_cut_short(self, tmp_path, kept):
        path = tmp_path / 'part.pt'
        torch.jit.script(self.Model()).save(str(path))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(CheckpointError, match=r'part\.pt is cut short or damaged'):
            read_checkpoint(path)


@pytest.mark.parametrize(
    'spelling',
    ['module.{}', '_orig_mod.{}', 'module._orig_mod.{}', 'model.{}', 'a._orig_mod.{}', '_fsdp_wrapped_module.{}'],
)
def test_marks_of_wrappers(tmp_path, spelling):
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': {spelling.format(name): tensor for name, tensor in WEIGHTS.items()}}, path)
    prefix = 'a.' if spelling.startswith('a.') else ''
    assert read_checkpoint(path).keys() == {f'{prefix}{name}' for name in WEIGHTS}


class TestParts:
    """Of an index, as transformers writes files of torch that are large."""

    def write(self, folder, last, name='pytorch_model.bin.index.json'):
        torch.save({'a.weight': WEIGHTS['a.weight']}, folder / 'part-1.bin')
        torch.save(last, folder / 'part-2.bin')
        (index := folder / name).write_text(
            json.dumps({'weight_map': {'a.weight': 'part-1.bin', 'a.bias': 'part-2.bin'}})
        )
        return index

    @pytest.mark.parametrize('name', ['pytorch_model.bin.index.fp16.json', 'other.safetensors.index.json'])
    def test_whole(self, tmp_path, name):
        """The index stands for the folder, whose parts are no files of their own."""
        index = self.write(tmp_path, {'a.bias': WEIGHTS['a.bias']}, name)
        (tmp_path / 'config.json').write_text('{}')
        assert_weights(read_checkpoint(index))
        assert_weights(read_checkpoint(tmp_path))

    @pytest.mark.parametrize(
        ('last', 'message'),
        [
            ({'b': torch.ones(2)}, 'and its parts differ in 2 weights'),
            ([torch.ones(2)], r'part-2\.bin holds no state dict: copy or fetch all parts'),
        ],
    )
    def test_not_of_one_model(self, tmp_path, last, message):
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(self.write(tmp_path, last))

    def test_code_in_a_part_is_not_run(self, tmp_path):
        (victim := tmp_path / 'victim').touch()
        with pytest.raises(CheckpointError, match=r'part-2\.bin holds more than weights'):
            read_checkpoint(self.write(tmp_path, {'a.bias': WEIGHTS['a.bias'], 'payload': Payload(str(victim))}))
        assert victim.exists()

    def test_an_index_is_no_part(self, tmp_path):
        (index := tmp_path / 'pytorch_model.bin.index.json').write_text(json.dumps({'weight_map': {'a': index.name}}))
        with pytest.raises(CheckpointError, match='is a text and no checkpoint'):
            read_checkpoint(index)


def test_the_state_of_an_optimizer(tmp_path):
    state = {'state': {0: {'exp_avg': torch.zeros(2)}}, 'param_groups': [{'lr': 0.1}]}
    for content in (state, {'optimizer': state, 'epoch': 1}):
        torch.save(content, tmp_path / 'optimizer.pth')
        with pytest.raises(CheckpointError, match='holds no tensors, found the state of an optimizer'):
            read_checkpoint(tmp_path / 'optimizer.pth')


@pytest.mark.parametrize('content', [{}, {'epoch': 1}, [torch.zeros(2)], torch.zeros(2), {'model': {'epoch': 2}}])
def test_no_tensors(tmp_path, content):
    path = tmp_path / 'empty.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'empty\.pth.* holds no tensors, found [\w ]+: expected a state dict'):
        read_checkpoint(path)


@pytest.mark.parametrize('name', ['weights.zip', 'weights.npz', 'weights.pth'])
def test_what_would_fill_a_disk(tmp_path, name, monkeypatch):
    """Or memory: an archive of zeros. It is not unpacked."""
    monkeypatch.setattr(wrapped, '_SWOLLEN', 1 << 16)
    with zipfile.ZipFile(tmp_path / name, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data.pkl' if name.endswith('pth') else 'a.pth', bytes(1 << 20))
    with pytest.raises(CheckpointError, match=r'is refused: its a.* MB unpacks to 0\.001 GB, as no weights do'):
        read_checkpoint(tmp_path / name)


class TestArchivesAroundOneFile:
    """As ViT-Adapter publishes models that are larger than GitHub's limit."""

    @pytest.fixture(autouse=True)
    def cache(self, monkeypatch, tmp_path):
        monkeypatch.setenv('TORCH_HOME', str(tmp_path))
        return tmp_path / 'hub' / 'checkpoints' / 'unpacked'

    def archive(self, tmp_path, *names):
        torch.save({'state_dict': WEIGHTS}, tmp_path / 'weights.pth')
        with zipfile.ZipFile(path := tmp_path / 'weights.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, (tmp_path / 'weights.pth').read_bytes() if 'pth' in name else b'')
        return path

    @pytest.mark.parametrize('names', [['a.pth'], ['a/', 'a/b.pth.tar'], ['a.pth', '__MACOSX/._a.pth', '.DS_Store']])
    def test_one_file(self, tmp_path, cache, names):
        path = self.archive(tmp_path, *names)
        for _ in range(2):
            found = read_checkpoint(path)
            assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())
        (unpacked,) = cache.iterdir()
        unpacked.write_bytes(b'torn')
        assert read_checkpoint(path).keys() == WEIGHTS.keys()

    def test_several_files(self, tmp_path, cache):
        with pytest.raises(CheckpointError, match=r'is an archive of 2 files, such as a\.pth, b\.pth: unpack it'):
            read_checkpoint(self.archive(tmp_path, 'a.pth', 'b.pth'))
        assert not cache.exists()

    def test_damaged(self, tmp_path, cache):
        path = self.archive(tmp_path, 'a.pth')
        content = bytearray(path.read_bytes())
        content[200] ^= 255
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r'weights\.zip is cut short or damaged'):
            read_checkpoint(path)
        assert list(cache.iterdir()) == []
