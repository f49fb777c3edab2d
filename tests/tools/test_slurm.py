"""What the scripts for Slurm ask of srun, by a stand-in that writes down its words."""

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def run(tmp_path, script, *words, **variables):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    names = ('GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK', 'SRUN_ARGS')
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {'PATH': f'{tmp_path}:{os.environ["PATH"]}', **variables}
    return subprocess.run(['bash', TOOLS / script, *words], env=environment, capture_output=True, text=True)


def test_training_on_two_nodes(tmp_path):
    done = run(tmp_path, 'slurm_train.sh', 'gpu', 'my job', 'my config.py', '--work-dir', 'a b', GPUS='16')
    resources = ['-p', 'gpu', '--job-name=my job', '--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8']
    program = ['python', '-u', str(TOOLS / 'train.py'), 'my config.py', '--work-dir', 'a b', '--launcher', 'slurm']
    assert done.stdout.splitlines() == [*resources, '--cpus-per-task=5', '--kill-on-bad-exit=1', *program]
    assert (done.returncode, done.stderr) == (0, '')


def test_a_test_with_all_variables(tmp_path):
    variables = {'GPUS': '4', 'GPUS_PER_NODE': '2', 'CPUS_PER_TASK': '3', 'SRUN_ARGS': '--quotatype=spot --time 10'}
    done = run(tmp_path, 'slurm_test.sh', 'gpu', 'job', 'c.py', 'w.pth', '--tta', **variables)
    words = done.stdout.splitlines()
    assert words[3:11] == [
        *('--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2', '--cpus-per-task=3', '--kill-on-bad-exit=1'),
        *('--quotatype=spot', '--time', '10'),
    ]
    assert words[11:] == ['python', '-u', str(TOOLS / 'test.py'), 'c.py', 'w.pth', '--launcher', 'slurm', '--tta']


def test_few_processes_fit_one_node(tmp_path):
    assert '--gres=gpu:2' in run(tmp_path, 'slurm_train.sh', 'p', 'j', 'c.py', GPUS='2').stdout.splitlines()


@pytest.mark.parametrize(
    ('script', 'words', 'variables', 'message'),
    [
        ('slurm_train.sh', ('p', 'j'), {}, 'usage: '),
        ('slurm_test.sh', ('p', 'j', 'c.py'), {}, 'usage: '),
        ('slurm_train.sh', ('p', 'j', 'c.py'), {'GPUS': 'all'}, "must be numbers above 0, got 'all'"),
    ],
)
def test_what_is_missing_or_wrong(tmp_path, script, words, variables, message):
    done = run(tmp_path, script, *words, **variables)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ''
