"""One run at a time in a work dir, and what a later run makes of an earlier one's files."""

import errno
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend

from mmvitdense.engine import SavingError, WorkDirInUseError
from mmvitdense.engine.latest_checkpoint import latest_checkpoint, read_run_file
from mmvitdense.engine.run_lock import lock_work_dir, noted_run, refuse_work_dir_in_use, release_work_dir
from mmvitdense.engine.work_dir import checkpoint_folders, folders_locked
from tests.reliability.same_runs import files, last_checkpoint

from .tiny_runs import options, train


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def briefly(folder, **other):
    return train(**options(folder, validate=False, **{'length': 4, 'save': 2, **other}))


def in_another_process(function, *arguments):
    """What a function gives in a forked process, an exception as its text."""

    def send():
        try:
            pipe[1].send(function(*arguments))
        except Exception as error:
            pipe[1].send(str(error))

    context = multiprocessing.get_context('fork')
    pipe = context.Pipe(duplex=False)
    process = context.Process(target=send)
    process.start()
    assert pipe[0].poll(600)
    answer = pipe[0].recv()
    process.join(600)
    return answer


def test_a_work_dir_in_use_is_refused_and_names_who_uses_it(tmp_path):
    assert lock_work_dir(tmp_path)
    assert not lock_work_dir(tmp_path)  # this process has it already
    assert noted_run(tmp_path)['pid'] == os.getpid()
    for function in (lock_work_dir, refuse_work_dir_in_use):
        said = in_another_process(function, tmp_path)
        assert f'{tmp_path} is in use by process {os.getpid()} on ' in said
        refuse_work_dir_in_use(tmp_path)
    release_work_dir(tmp_path)
    assert in_another_process(lock_work_dir, tmp_path) is True
    refuse_work_dir_in_use(tmp_path)  # that process has ended, however it did
    refuse_work_dir_in_use(tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_a_run_ends_where_another_one_runs_and_frees_what_it_had(tmp_path, monkeypatch):
    briefly(tmp_path)
    assert in_another_process(lock_work_dir, tmp_path) is True

    def taken(*_):
        raise OSError(errno.EAGAIN, 'taken')

    monkeypatch.setattr('fcntl.lockf', taken)
    with pytest.raises(WorkDirInUseError, match='is in use by process'):
        briefly(tmp_path, resume=True)


def test_two_work_dirs_whose_checkpoints_go_to_one_folder(tmp_path):
    first, second, shared = tmp_path / 'a' / 'run', tmp_path / 'b' / 'run', tmp_path / 'kept'
    other = in_another_process(lambda: lock_work_dir(shared / 'run') and refused(second, shared))
    assert other is True, 'of this process it is'
    assert lock_work_dir(shared / 'run')
    assert f'{shared}/run is in use by process {os.getpid()}' in in_another_process(refused, second, shared)
    assert in_another_process(lock_work_dir, second) is True, 'not one without the other'
    release_work_dir(shared / 'run')
    briefly(first, checkpoint={'out_dir': str(shared)})
    assert in_another_process(lock_work_dir, shared / 'run') is True
    assert checkpoint_folders({'out_dir': 's3://bucket/kept'}, str(first)) == []


def refused(work_dir, out_dir):
    with folders_locked([work_dir, *checkpoint_folders({'out_dir': str(out_dir)}, str(work_dir))]):
        return True


def test_a_new_run_says_that_there_was_one_and_is_not_mistaken_for_it(tmp_path, capfd):
    briefly(tmp_path)
    torn = tmp_path / '.123-0abcdef0.pth'
    torn.write_bytes(b'torn')
    with pytest.raises(ZeroDivisionError):
        briefly(tmp_path, hooks=[Fails(1)])  # before its first checkpoint
    assert 'has checkpoints of an earlier run (iter_4.pth, iter_2.pth)' in ''.join(capfd.readouterr())
    assert files(tmp_path) == ['.run_lock', 'iter_2.pth', 'iter_4.pth']
    assert not (tmp_path / 'last_checkpoint').exists()
    path, notes = latest_checkpoint(tmp_path, read_run_file)
    assert path is None
    assert notes[-1].endswith('starts from the beginning')
    runner = briefly(tmp_path, resume=True, length=2)
    assert runner.iter == 2
    assert latest_checkpoint(tmp_path, read_run_file)[0] == str(tmp_path / 'iter_2.pth')
    assert briefly(tmp_path, resume=True).iter == 4


class Fails:
    """Stands for whatever can end a run."""

    def __new__(cls, at):
        from mmengine.hooks import Hook

        class Failing(Hook):
            def before_train_iter(self, runner, batch_idx, data_batch=None):
                if runner.iter == at:
                    raise ZeroDivisionError

        return Failing()


def test_the_newest_whole_checkpoint_wherever_the_work_dir_is_now(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    briefly(old)
    shutil.copytree(old, new)
    assert latest_checkpoint(new, read_run_file)[0] == str(new / 'iter_4.pth')
    damage(new / 'iter_4.pth')
    path, notes = latest_checkpoint(new, read_run_file)
    # The one of the folder from which it was copied is of the same run, and whole.
    assert path == str(old / 'iter_4.pth')
    shutil.rmtree(old)
    path, notes = latest_checkpoint(new, read_run_file)
    assert path == str(new / 'iter_2.pth')
    assert 'iter_4.pth is damaged' in notes[0]
    runner = briefly(new, resume=True)
    assert runner._load_from == path
    assert torch.equal(last_checkpoint(new)['state_dict']['first.weight'], runner.model.first.weight)


@pytest.mark.parametrize('noted', [b'', b' \n', b'a\0b', b'\xff', b'x' * 5000, b'.', b'none.pth'])
@pytest.mark.parametrize('lock', [b'[1]', b'{"since": 1}', b'[' * 100000, b'\xff'])
def test_notes_that_say_nothing(tmp_path, noted, lock):
    torch.save({'meta': {}, 'state_dict': {}}, tmp_path / 'iter_2.pth')
    (tmp_path / 'last_checkpoint').write_bytes(noted)
    (tmp_path / '.run_lock').write_bytes(lock)
    assert latest_checkpoint(tmp_path, read_run_file)[0] == str(tmp_path / 'iter_2.pth')
    assert lock_work_dir(tmp_path)
    release_work_dir(tmp_path)


def test_a_complete_run_says_that_nothing_is_trained(tmp_path, capfd):
    briefly(tmp_path)
    capfd.readouterr()
    briefly(tmp_path, resume=True)
    assert 'iter_4.pth has 4 of 4 iterations: the run is complete and nothing is trained' in capfd.readouterr().out


def test_a_note_that_names_a_file_of_another_run(tmp_path):
    mine, other = tmp_path / 'mine', tmp_path / 'other'
    briefly(mine)
    briefly(other)
    for path in mine.glob('*.pth'):
        path.unlink()
    (mine / 'last_checkpoint').write_text(str(other / 'iter_4.pth'))
    path, notes = latest_checkpoint(mine, read_run_file)
    assert path is None
    assert 'is of an earlier run' in notes[0]


def damage(path):
    """Zero a page in the largest tensor."""
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)


@pytest.mark.parametrize(('number', 'best'), [(errno.ENOSPC, False), (errno.EROFS, True)])
def test_a_checkpoint_that_cannot_be_written(tmp_path, monkeypatch, number, best):
    """The last good one stays, although it would be the one to be deleted, and nothing of the torn one."""
    put, written = LocalBackend.put, []

    def put_until_full(backend, content, path):
        written.append(path)
        if len(written) == 2:
            Path(path).write_bytes(content[:100])
            raise OSError(number, os.strerror(number))
        put(backend, content, path)

    monkeypatch.setattr(LocalBackend, 'put', put_until_full)
    hook = {'max_keep_ckpts': 1, **({'save_best': 'drawn', 'rule': 'greater'} if best else {})}
    expected = rf'cannot be written \({os.strerror(number)}\); the last whole one is {tmp_path}/iter_2.pth'
    with pytest.raises(SavingError, match=expected):
        train(**options(tmp_path, length=6, save=2, checkpoint=hook, validate=best))
    assert files(tmp_path) == ['.run_lock', 'iter_2.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_2.pth')
    monkeypatch.undo()
    assert briefly(tmp_path, length=6, resume=True, checkpoint={'max_keep_ckpts': 1}).iter == 6
    assert files(tmp_path) == ['.run_lock', 'iter_6.pth']


def test_a_best_result_that_no_metric_gives(tmp_path):
    with pytest.raises(SavingError, match=r"save_best='nothing' is not among the results of the validation \("):
        train(**options(tmp_path, length=4, save=2, checkpoint={'save_best': 'nothing', 'rule': 'less'}))
