import io
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner, checkpoint, load_checkpoint
from torch import nn

from mmvitdense.checkpoints import CheckpointError, read_file
from mmvitdense.compat import checkpoints, while_tools_run
from mmvitdense.safe_objects import run_objects, run_objects_allowed


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.ones_(self.linear.bias)

    def forward(self, *inputs, mode='tensor'):
        return {'loss': self.linear(torch.stack(inputs)).square().mean()}


def run(work_dir, max_iters, **options):
    runner = Runner(
        Line(),
        str(work_dir),
        train_dataloader={
            'batch_size': 2,
            'sampler': {'type': 'InfiniteSampler', 'shuffle': False},
            'dataset': [torch.tensor([float(i), 1.0]) for i in range(4)],
        },
        train_cfg={'by_epoch': False, 'max_iters': max_iters},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.1}},
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 3},
            {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 3, 'end': 6, 'T_max': 3},
        ],
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 2, 'by_epoch': False}},
        custom_hooks=[{'type': 'EMAHook'}],
        randomness={'seed': 0},
        experiment_name=f'run_{os.urandom(4).hex()}',
        log_level='WARNING',
        **options,
    )
    runner.train()
    return runner


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / 'whole', 4)
    run(tmp_path / 'parts', 2)
    resumed = run(tmp_path / 'parts', 4, resume=True)
    assert resumed.iter == 4
    assert (tmp_path / 'parts' / 'iter_4.pth').exists()
    for expected, result in zip(whole.model.state_dict().values(), resumed.model.state_dict().values()):
        assert torch.equal(expected, result)
    losses = resumed.message_hub.get_scalar('train/loss').data[0]
    np.testing.assert_array_equal(losses, whole.message_hub.get_scalar('train/loss').data[0])


def test_scalars_and_buffers_survive(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0, 4.5], [1, 1, 2])
    hub = {'buffer': buffer, 'best': np.float32(0.25), 'count': np.int64(7), 'flag': np.bool_(True)}
    torch.save({'state_dict': {'w': torch.ones(2)}, 'message_hub': hub}, tmp_path / 'a.pth')
    result = read_file(tmp_path / 'a.pth')['message_hub']
    assert result['buffer'].mean() == buffer.mean()
    assert result['buffer'].statistics('max') == 4.5
    assert (result['best'], result['count'], result['flag']) == (0.25, 7, True)
    assert result['best'].dtype == np.float32


@pytest.mark.parametrize('core', [b'numpy.core', b'numpy._core'])
def test_files_of_the_other_numpy(core):
    stream = io.BytesIO()
    content = {'scalar': np.float64(0.5), 'array': np.arange(3)}
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    written = stream.getvalue()
    names = [name for name in (b'numpy.core.multiarray', b'numpy._core.multiarray') if name in written]
    assert len(names) == 1
    other = io.BytesIO(written.replace(names[0], core + b'.multiarray'))
    with run_objects_allowed():
        result = torch.load(other, weights_only=True)
    assert result['scalar'] == 0.5
    assert result['array'].tolist() == [0, 1, 2]


class Executed:
    def __reduce__(self):
        return exec, ("import os; os.environ['MMVITDENSE_EXECUTED'] = '1'",)


class Reaching:
    """Pickle asks for an attribute that opens the module's globals."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


class Unknown:
    pass


@pytest.mark.parametrize('content', [Executed(), Reaching(), Unknown()])
def test_any_other_class_is_refused(tmp_path, content, monkeypatch):
    monkeypatch.delenv('MMVITDENSE_EXECUTED', raising=False)
    path = str(tmp_path / 'a.pth')
    torch.save({'state_dict': {}, 'extra': content}, path)
    with pytest.raises(CheckpointError):
        read_file(path)
    with while_tools_run(), pytest.raises(pickle.UnpicklingError):
        load_checkpoint(nn.Linear(1, 1), path, map_location='cpu')
    assert 'MMVITDENSE_EXECUTED' not in os.environ


def test_what_is_fetched_is_not_executed_either(tmp_path, monkeypatch):
    """torch.hub reads with weights_only=False by itself."""
    monkeypatch.delenv('MMVITDENSE_EXECUTED', raising=False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    path = tmp_path / 'a.pth'
    monkeypatch.setattr(checkpoints, 'fetched', lambda url, folder: str(path))
    torch.save({'state_dict': {}, 'extra': Executed()}, path)
    with while_tools_run(), pytest.raises(pickle.UnpicklingError):
        load_checkpoint(nn.Linear(1, 1), 'https://example.org/a.pth', map_location='cpu')
    assert 'MMVITDENSE_EXECUTED' not in os.environ
    layer = nn.Linear(1, 1)
    torch.save({'state_dict': layer.state_dict(), 'hub': HistoryBuffer([1.0], [1])}, path)
    with while_tools_run():
        load_checkpoint(other := nn.Linear(1, 1), 'https://example.org/a.pth', map_location='cpu')
    assert torch.equal(other.weight, layer.weight)


def test_others_load_as_before(tmp_path):
    """Outside of tools mmengine's loader is its own; within, and for our reader, a file is read time and again."""
    names = [name for name in ('_safe_torch_load', 'load_url') if hasattr(checkpoint, name)]
    theirs = [getattr(checkpoint, name) for name in names]
    assert all(function.__module__ != checkpoints.__name__ for function in theirs)
    path = str(tmp_path / 'a.pth')
    torch.save({'state_dict': nn.Linear(1, 1).state_dict(), 'hub': HistoryBuffer([1.0], [1])}, path)
    permitted = set(torch.serialization.get_safe_globals())
    load_checkpoint(nn.Linear(1, 1), path, map_location='cpu')
    with while_tools_run(), while_tools_run():
        assert {getattr(checkpoint, name).__module__ for name in names} == {checkpoints.__name__}
        for _ in range(2):
            load_checkpoint(nn.Linear(1, 1), path, map_location='cpu')
            assert read_file(path)['hub'].current() == 1.0
    assert [getattr(checkpoint, name) for name in names] == theirs
    assert set(torch.serialization.get_safe_globals()) <= permitted


def test_the_original_line_is_told_what_its_checkpoints_hold(monkeypatch):
    """It has no loader that tells torch, and would refuse its own files."""
    told = []
    monkeypatch.setattr(torch.serialization, 'add_safe_globals', told.extend)
    checkpoints._allow(SimpleNamespace(_safe_torch_load=None))
    assert told == []
    checkpoints._allow(SimpleNamespace())
    assert told == list(run_objects())
