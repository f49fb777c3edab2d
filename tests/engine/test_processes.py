"""Loader processes that die, stop, hang or raise, and what a signal does to a run."""

import importlib.machinery
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from mmvitdense.apis.errors import run_tool
from mmvitdense.engine import LoadingError, ProcessesHook, loader_watch, stop_signals
from mmvitdense.engine.command_line import resume_command, typed_command
from mmvitdense.engine.loader_watch import watch_loader
from mmvitdense.engine.named_loading import name_files
from mmvitdense.engine.parent_death import end_with_parent
from mmvitdense.engine.stop_signals import StopSignals

from .tiny_runs import server


class Data:
    """Numbers; at one of them the process that loads it does something else."""

    ann_file = 'annotations.json'

    def __init__(self, act=None, at=5):
        self.act = act
        self.at = at

    def __len__(self):
        return 40

    def get_data_info(self, index):
        return {'img_path': f'images/{index}.jpg'}

    def __getitem__(self, index):
        if self.act and index == self.at:
            self.act()
        return index


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def break_off():
    """End some time after the connections to this process, as one with much memory does."""
    os.closerange(3, 1000)
    time.sleep(0.5)
    die()


def lack():
    return {}['bbox']


def loaded(act, limit=60, workers=2):
    data = Data(act)
    loader = DataLoader(data, num_workers=workers, multiprocessing_context='fork' if workers else None)
    end_with_parent(loader)
    watch_loader(loader, limit)
    name_files(data)
    return list(loader)


@pytest.mark.parametrize(('act', 'said'), [(stop, r'for 1 s: process \d+ is stopped'), (time.sleep, None)])
def test_a_loader_that_gives_nothing(monkeypatch, act, said):
    """The first is stopped, which SIGTERM does not end; the other sleeps. The main thread waits without a limit."""
    monkeypatch.setattr(loader_watch, '_LOOK_EVERY', 60)
    start, before = time.monotonic(), children()
    with pytest.raises(LoadingError, match=said or r'for 1 s: its processes \([\d, ]+\) are running'):
        loaded(act if said else lambda: time.sleep(3600), limit=1)
    assert time.monotonic() - start < 600
    assert children() == before


def children():
    return open(f'/proc/self/task/{os.getpid()}/children').read().split()


def fail(act, path):
    with Path(path).open('w') as sys.stderr:
        sys.exit(run_tool(lambda: loaded(act) and None))


@pytest.mark.parametrize('act', [die, break_off], ids=['killed', 'its channel first'])
def test_a_process_that_dies_is_one_line(tmp_path, act):
    process = server.Process(target=fail, args=(act, tmp_path / 'said'))
    process.start()
    process.join()
    assert process.exitcode == 1
    (*_, line) = (tmp_path / 'said').read_text().splitlines()
    assert line.startswith('error: A process that loads data (pid ')


def test_a_death_is_heard_while_a_batch_is_awaited_and_not_before():
    """Else torch raises in the middle of whatever the main thread does, a checkpoint for example."""
    loader = DataLoader(Data(), num_workers=2, multiprocessing_context='fork')
    watch_loader(loader, 60)
    batches = iter(loader)
    next(batches)
    batches._workers[0].kill()
    # Until it can be reaped, which is after the last of its threads.
    os.waitid(os.P_PID, batches._workers[0].pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(LoadingError, match=rf'pid {batches._workers[0].pid}\) has ended'):
        list(batches)  # a batch of the other process may have come before
    assert not any(worker.is_alive() for worker in batches._workers)


def test_what_torch_raises_in_the_answer_to_an_error_is_answered_too(capsys):
    """Torch's handler, of a loader that nobody watches, raises where the first error is caught."""

    def hear(number, frame):
        raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. ')

    class FirstError(Exception):
        def __init__(self):
            signal.signal(signal.SIGCHLD, hear)

        def __str__(self):
            os.kill(os.getpid(), signal.SIGCHLD)
            return 'first'

    before = signal.getsignal(signal.SIGCHLD)

    def main():
        raise FirstError

    try:
        assert run_tool(main) == 1
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert capsys.readouterr().err.splitlines()[-1].startswith('error: FirstError: first. ')


@pytest.mark.parametrize('workers', [0, 2])
def test_an_exception_names_the_file_and_is_the_last_line(workers, capsys):
    assert run_tool(lambda: loaded(lack, workers=workers) and None) == 1
    said = capsys.readouterr().err
    line = "error: The sample images/5.jpg, number 5 of annotations.json, cannot be loaded: KeyError: 'bbox'."
    assert said.splitlines()[-1] == line
    assert said.count('images/5.jpg') == 1
    assert "return {}['bbox']" in said  # where it happened


class DataWithThread(Data):
    """Numbers; their process has a thread that is older than the loading, as libraries start when they are imported."""

    def __setstate__(self, state):
        vars(self).update(state)
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def train_with_a_loader(pipe, method):
    loader = DataLoader(DataWithThread(), num_workers=1, multiprocessing_context=method)
    end_with_parent(loader)
    watch_loader(loader, 60)
    batches = iter(loader)
    next(batches)
    (worker,) = (process.pid for process in batches._workers)
    pipe.send(worker)
    pipe.recv()
    pipe.send(1 + sum(1 for _ in zip(range(20), batches)))
    time.sleep(60)


@pytest.mark.parametrize('method', ['fork', 'forkserver'])
def test_loaders_leave_signals_to_the_process_that_trains_and_end_with_it(method):
    ours, others = multiprocessing.Pipe()
    trainer = server.Process(target=train_with_a_loader, args=(others, method))
    trainer.start()
    others.close()  # so that its end is the end of what can be received
    worker = ours.recv()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, number)
    ours.send('go on')
    assert ours.recv() == 21
    trainer.kill()
    trainer.join()
    await_end(worker)


def await_end(process):
    end = time.monotonic() + 600
    while time.monotonic() < end and state(process) not in ('', 'Z'):
        time.sleep(0.01)
    assert state(process) in ('', 'Z')


def state(process):
    try:
        return open(f'/proc/{process}/stat').read().rpartition(')')[2].split()[0]
    except OSError:
        return ''


def test_loaders_that_ignore_signals_are_ended_by_the_process_that_trains():
    loader = DataLoader(Data(lambda: time.sleep(3600), at=1), num_workers=1, multiprocessing_context='fork')
    end_with_parent(loader)
    watch_loader(loader, 60)
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers
    worker.terminate()
    worker.join(600)
    assert worker.exitcode == -signal.SIGKILL


def test_options():
    with pytest.raises(ValueError, match='seconds above 0'):
        ProcessesHook(loader_timeout=0)


def test_signals_are_noted_and_those_of_others_left_alone(capfd):
    earlier = StopSignals()
    earlier.install()  # ends what a run of another test may have left
    earlier.restore()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    StopSignals().install()  # as a run leaves it that ended by an exception
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    signals = StopSignals()
    signals.install()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.agreed() == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert capfd.readouterr().err == '\nSIGTERM: the iteration is finished and saved first\n'
    finally:
        signals.restore()
        signal.signal(signal.SIGINT, before[signal.SIGINT])
    assert {number: signal.getsignal(number) for number in before} == before
    thread = threading.Thread(target=signals.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]


def test_processes_that_are_forked_meanwhile_can_be_terminated(capfd):
    signals = StopSignals()
    signals.install()
    try:
        worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,), daemon=True)
        worker.start()
        worker.terminate()  # as a pool ends those that an evaluation computes in, and waits for them
        worker.join(20)
        assert worker.exitcode == -signal.SIGTERM
        assert signals.received is None
    finally:
        signals.restore()
        worker.kill()
    assert not capfd.readouterr().err


@pytest.mark.parametrize('torchrun', [False, True])
def test_a_second_ctrl_c_ends_at_once_but_for_the_echo_of_torchrun(monkeypatch, torchrun):
    monkeypatch.setattr(stop_signals, '_ECHO', 0.2)
    if torchrun:
        monkeypatch.setenv('TORCHELASTIC_RUN_ID', '1')
    child = os.fork()
    if not child:
        StopSignals().install()
        os.kill(os.getpid(), signal.SIGINT)
        if torchrun:
            os.kill(os.getpid(), signal.SIGINT)  # at once
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGINT


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['c.py', '--work-dir', 'a b', '--cfg-options', 'x=1'], "c.py --resume --work-dir 'a b' --cfg-options x=1"),
        (['--resume', 'old.pth', '--amp', 'c.py'], '--resume --amp c.py'),
        (['c.py', '--resume=old.pth'], 'c.py --resume'),
        (['c.py', '--resume'], 'c.py --resume'),
    ],
)
def test_the_command_to_go_on(monkeypatch, arguments, expected):
    monkeypatch.setattr('sys.argv', ['tools/train.py', *arguments])
    assert resume_command() == f'python tools/train.py {expected}'
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', '1')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert resume_command() == f'torchrun --nproc_per_node 4 tools/train.py {expected}'
    monkeypatch.setattr('sys.argv', ['/venv/bin/mmvitdense', 'train', *arguments])
    assert resume_command() == f'torchrun --nproc_per_node 4 -m mmvitdense train {expected}'
    monkeypatch.delenv('TORCHELASTIC_RUN_ID')
    assert resume_command() == f'mmvitdense train {expected}'
    monkeypatch.setattr('sys.argv', ['/usr/bin/jupyter'])
    assert "resume='auto'" in resume_command()


def test_the_command_to_go_on_with_a_module(monkeypatch):
    main = importlib.machinery.ModuleSpec('mmvitdense.__main__', None, origin='/there/mmvitdense/__main__.py')
    monkeypatch.setattr('sys.modules', {**sys.modules, '__main__': types.SimpleNamespace(__spec__=main)})
    monkeypatch.setattr('sys.argv', [main.origin, 'train', 'c.py'])
    assert resume_command() == 'python -m mmvitdense train c.py --resume'
    assert typed_command() == 'python -m mmvitdense train c.py'
    monkeypatch.setattr('sys.argv', ['mine.py', 'c.py'])
    assert resume_command() == 'python mine.py c.py --resume'
