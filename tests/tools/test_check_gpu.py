"""`tools/check_gpu.py`: what it compares, how it survives a process that dies, and its checks on the CPU."""

import json
import threading
import time

import pytest
import torch
import torch.nn.functional as F

from tools.gpu_checks import families, kernel_calls, numbers, running, trials
from tools.gpu_checks import small as small_configs
from tools.gpu_checks.checks import CHECKS, function, items_of
from tools.gpu_checks.rows import Failed, Report, Skipped, read
from tools.gpu_checks.running import Runner, table, tasks_of

# A part that dies in its second item once, and goes on with the third when it is started again.
STUB = """
import json, os, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index('--out') + 1])
for item in out.with_suffix('.items').read_text().split('\\n'):
    with out.open('a') as file:
        file.write(json.dumps({'check': 'sanitizer', 'begins': item}) + '\\n')
    if item == 'two':
        print('illegal memory access', flush=True)
        os._exit(3)
    with out.open('a') as file:
        file.write(json.dumps({'check': 'sanitizer', 'item': item, 'status': 'passed'}) + '\\n')
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    program = tmp_path / 'stub.py'
    program.write_text(STUB)
    monkeypatch.setattr(running, 'PROGRAM', program)
    return Runner('cpu', tmp_path / 'out', 60, 1)


def test_every_check_can_be_found():
    for check in CHECKS.values():
        assert callable(function(check.place))
    assert items_of(CHECKS['sanitizer'], 'cpu') == ['memcheck', 'racecheck', 'initcheck', 'synccheck']


def test_a_process_that_dies_takes_one_item_with_it(runner):
    runner._through(running.Task('sanitizer', ['one', 'two', 'three']))
    assert [(row['item'], row['status']) for row in runner.rows] == [
        ('one', 'passed'),
        ('two', 'died'),
        ('three', 'passed'),
    ]
    assert 'exit code 3: illegal memory access' in runner.rows[1]['detail']
    kept = [json.loads(line) for line in (runner.folder / 'rows.jsonl').read_text().splitlines()]
    assert [row['item'] for row in kept] == ['one', 'two', 'three']


def test_no_time_left(runner):
    runner.end = 0
    runner._through(running.Task('sanitizer', ['one']))
    assert runner.rows[0]['status'] == 'not run'


def test_an_error_of_the_program_ends_no_other_check(runner, monkeypatch):
    monkeypatch.setattr(running, 'read', lambda path: {}['lost'])
    runner._through(running.Task('sanitizer', ['one']))
    assert (runner.rows[0]['status'], runner.rows[0]['detail']) == ('died', "KeyError: 'lost'")

    def items_of(check, device):
        if 'families' in check.place:
            raise ImportError('No module named mmdet')
        return ['one']

    monkeypatch.setattr(running, 'items_of', items_of)
    assert runner._items(['families', 'sanitizer'], []) == {'families': [], 'sanitizer': ['one']}
    assert runner.rows[1]['detail'] == 'its items are not known: No module named mmdet'


def test_what_hangs_is_ended_and_said(runner):
    """By the signal that a limit of time around the command gives."""
    running.PROGRAM.write_text(
        STUB.replace("print('illegal memory access', flush=True)", 'import time; time.sleep(60)')
    )
    thread = threading.Thread(target=runner._through, args=[running.Task('sanitizer', ['one', 'two', 'three'])])
    thread.start()
    part = runner.folder / 'sanitizer-1.jsonl'
    while not part.exists() or '"two"' not in part.read_text():
        time.sleep(0.02)
    with part.open('a') as file:
        file.write('{"check": "sanitizer", "it')
    runner.stop()
    thread.join(20)
    assert [row['status'] for row in runner.rows] == ['passed', 'died', 'not run']


def test_items_are_shared_out(tmp_path):
    names = families.items('cpu')
    tasks = tasks_of('families', names, 4)
    assert len(tasks) == 4
    assert sorted(item for task in tasks for item in task.items) == sorted(names)
    assert running.chosen(CHECKS['sanitizer'].items, ['race']) == ['racecheck']
    items = {name: items_of(check, 'cpu') for name, check in CHECKS.items()}
    shares = running.shares_of(items, 3)
    for name, all_of_it in items.items():
        assert sorted(item for share in shares for item in share[name]) == sorted(all_of_it)
    assert max(len(share['families']) for share in shares) <= len(names) // 3 + 1
    seconds = [sum(CHECKS[n].seconds / len(items[n]) * len(part) for n, part in s.items()) for s in shares]
    assert max(seconds) < 1.3 * min(seconds)
    for number in (1, 2):
        runner = Runner('cpu', tmp_path, 60, 1, (number, 2))
        runner._add([running.row_of('build', f'{number}', 'passed', '')])
    assert [row['item'] for row in running.rows_in(tmp_path)] == ['1', '2']


def test_how_a_check_ends_is_a_row(tmp_path):
    report = Report('build', tmp_path / 'rows.jsonl')
    for item, error in (('a', None), ('b', Skipped('none here')), ('c', Failed('wrong')), ('d', ValueError('bad'))):
        with report.guard(item):
            if error:
                raise error
    report.begin('e')
    rows, unfinished = read(report.path)
    assert [row['status'] for row in rows] == ['passed', 'skipped', 'failed', 'failed']
    assert rows[3]['detail'].startswith('ValueError: bad [test_check_gpu.py:')
    assert unfinished == ['e']
    lines = '\n'.join(table(rows))
    assert '1 passed, 1 skipped, 2 failed' in lines
    assert 'failed c: wrong' in lines


def test_random_numbers_do_not_depend_on_the_type():
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        with numbers.SameRandomNumbers():
            tensor = torch.zeros(50, dtype=dtype)
            drawn.append(
                [
                    torch.rand(5, dtype=dtype),
                    torch.rand_like(tensor),
                    F.dropout(tensor + 1, 0.5),
                    F.dropout2d((tensor + 1).view(1, 2, 5, 5), 0.5),
                    tensor.bernoulli_(0.3),
                    torch.randperm(9),
                    torch.randint(0, 9, (5,)),
                    torch.randint_like(tensor, high=9),
                ]
            )
    for one, other in zip(*drawn):
        torch.testing.assert_close(one, other.to(one.dtype), rtol=1e-2, atol=0)
    assert 0 < (drawn[0][2] == 0).sum() < 50


def test_distances():
    one = {'a': torch.tensor([3.0, 4.0]), 'b': torch.zeros(2)}
    other = {'a': torch.tensor([3.0, 4.0]), 'b': torch.tensor([0.0, 0.5])}
    assert numbers.distance(other.values(), one.values()) == pytest.approx(0.1)
    assert numbers.farthest(other, one) == ('b', pytest.approx(0.1))
    assert numbers.distance([torch.zeros(2)], [torch.zeros(3)]) == float('inf')
    assert not numbers.distance([torch.tensor([torch.nan])], [torch.ones(1)]) <= 1
    labels = torch.tensor([0, 1, 1, 2])
    assert families.agreement([labels], [torch.tensor([0, 1, 2, 2])]) == 0.75
    assert families.agreement([torch.rand(3)], []) == 0


def test_kernel_calls():
    assert kernel_calls.calls('cpu', torch.float32) == len(kernel_calls.SHAPES) * 8
    assert not torch.are_deterministic_algorithms_enabled()


class TestAConfig:
    NAME = 'quickstart/vit-tiny_upernet_shapes.py'

    @pytest.fixture(scope='class')
    def small(self, shapes_root):
        return small_configs.Small(self.NAME, shapes_root)

    def test_on_the_cpu(self, small, shapes_root, tmp_path):
        row = {}
        families._check(self.NAME, 'cpu', shapes_root, row, tmp_path)
        small.skip_twin(tmp_path)
        small.name = 'another.py'
        with pytest.raises(Skipped, match=f'the same as {self.NAME}'):
            small.skip_twin(tmp_path)
        assert row['float32']['maps'] < 1e-5
        assert 1e-4 < row['bfloat16']['maps'] < families.MAPS['bfloat16']

    def test_what_is_wrong_is_named(self, small, monkeypatch):
        model = small.model()
        batches = small.batch('train_dataloader'), small.batch('val_dataloader')
        wanted = families._results(model, *batches, 'cpu', 'float32')
        wanted['maps'][0] = wanted['maps'][0] * 1.01
        wanted['losses']['loss'] *= 2
        monkeypatch.setattr(families, '_results', lambda *_: {**wanted, 'maps': [m * 1.01 for m in wanted['maps']]})
        problems = families._compare(small, model, *batches, 'cpu', 'float32', wanted, {})
        assert problems == ['maps differ by 1.0e-02']

    def test_reads_of_numbers_are_found(self, small):
        class Reading(torch.nn.Module):
            data_preprocessor = staticmethod(lambda batch, training: batch)

            def extract_feat(self, images):
                return [images * images.sum().item()]

        found = trials.captured(Reading(), {'inputs': torch.ones(2)}, 'cpu', {})
        assert found == ['reads numbers by _local_scalar_dense']
