"""The benchmark compares equals: each formulation of a release gives our outputs and gradients, on odd windows too."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from mmvitdense.apis.errors import InputError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
sys.path.insert(0, str(TOOLS))
import benchmark_growth  # noqa: E402
import benchmark_models  # noqa: E402
from benchmarks import products, runtimes, served, table  # noqa: E402
from benchmarks.measure import VARIANTS, Case, check_agreement, kept_mb, peak_mb, runner  # noqa: E402
from benchmarks.stopwatch import HEADS, POST, Stopwatch  # noqa: E402
from benchmarks.subjects import SUBJECTS, build  # noqa: E402

OTHERS = ('mimdet', 'implementation', 'eomt', 'frozen', 'lora')
SAME = [name for name in SUBJECTS if '-t' in name and not name.startswith(OTHERS)]


def _runs(name, size):
    # torch has pitfalls in the gradients of one image that several do not show.
    batch = 1 if name.startswith('vit-') else 2
    case = Case(name, size, batch, 'cpu', 'float32', training=True)
    pair = build(name, size, batch, 'cpu', True)
    # Batch norms of a few pixels blow up the rounding of float32.
    pair.model.double()
    pair = pair._replace(inputs=tuple(tensor.double() for tensor in pair.inputs))
    return pair, {variant: runner(pair, variant, case) for variant in VARIANTS}, case


@pytest.mark.parametrize('name', SAME)
def test_both_compute_the_same(name):
    differences = check_agreement(*_runs(name, 96))
    assert 0 <= differences['difference'] < 1e-5
    assert 0 < differences['gradient_difference'] < 1e-5


@pytest.mark.parametrize('what', ['outputs', 'gradients'])
def test_a_difference_stops_the_run(what):
    pair, runs, case = _runs('attention-t-window-rel-pos', 64)
    original = runs['baseline']

    def wrong():
        outputs = original()
        if what == 'gradients':
            pair.model.rel_pos_h.grad.mul_(2)
        return [output * 1.01 for output in outputs] if what == 'outputs' else outputs

    with pytest.raises(RuntimeError, match=f'attention-t-window-rel-pos: the {what} differ by'):
        check_agreement(pair, {**runs, 'baseline': wrong}, case)


def test_fewer_tokens_are_a_part_of_the_whole():
    pytest.importorskip('mmvitdense.models.backbones.mimdet')
    pair, runs, _ = _runs('mimdet-t-ratio-0.25', 64)
    shapes = [[output.shape for output in runs[variant]()] for variant in VARIANTS]
    assert shapes[0] == shapes[1]
    assert pair.model.sample_ratio == 0.25


def test_eomt_beside_an_adapter():
    """Both predict 200 classes and masks of stride 4, from one ViT."""
    pytest.importorskip('mmdet')
    pair, runs, _ = _runs('eomt-t', 64)
    shapes = [[output.shape for output in runs[variant]()] for variant in VARIANTS]
    assert shapes[0] == shapes[1] == [(2, 200, 134), (2, 200, 16, 16)]
    assert pair.model.adapter.vit is pair.model.eomt.vit


@pytest.fixture
def small_products(monkeypatch):
    """Rates of products that take no time."""
    monkeypatch.setattr(products, 'LAYERS', {'tiny': (16, 8, 8)})


def _main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['benchmark_models.py', '--device', 'cpu', *arguments])
    return benchmark_models.main()


def test_the_tool(tmp_path, monkeypatch, capsys, small_products):
    rows = tmp_path / 'rows.json'
    options = ['--sizes', '224', '--repeats', '2', '--passes', 'forward', '--no-memory', '--json', str(rows)]
    assert _main(monkeypatch, '--subjects', 'attention-t-window', *options) == 0
    (row,) = json.loads(rows.read_text())
    assert row['ratio_low'] <= row['ratio'] <= row['ratio_high']
    times = f'{row["baseline_ms"]:.1f} | {row["ours_ms"]:.1f}'
    start = f'| attention-t-window | 224 | 1 | float32 | forward | eager | {times} |'
    printed = capsys.readouterr().out
    assert start in printed
    assert 'Processor: ' in printed
    assert '| tiny | ' in printed
    # Four projections of 192 channels and two products of attention, of 196 tokens.
    assert row['gigaoperations'] == pytest.approx(2e-9 * 196 * (4 * 192 * 192 + 2 * 196 * 192), rel=0.01)
    assert row['of_products'] == pytest.approx(row['ours_ms'] / 1e3 * row['product_rate'] / row['gigaoperations'])


def test_the_table_goes_on_where_it_was_cut_off(tmp_path, monkeypatch, capsys, small_products):
    """Each part is measured once, and what may be claimed is the lowest ratio of the settings."""
    ratios = {'as it is': 2.0, 'MMVITDENSE_LINEAR=torch': 1.25, 'ATEN_CPU_CAPABILITY=avx2': 1.5}
    measured = []

    def measure(part):
        measured.append(part)
        if len(measured) == 4:
            raise KeyboardInterrupt
        if part.passed == 'runtimes':
            return {
                'ms': {'ours': 10.0, 'onnxruntime': 8.0},
                'ratio': {'ours': 1.0, 'onnxruntime': 0.8},
                'of products': {'ours': 1.3},
            }
        ratio = ratios[part.setting]
        return {
            'baseline_ms': 20.0,
            'ours_ms': 10.0,
            'of_products': 1.4,
            'ratio': ratio,
            'ratio_low': ratio,
            'ratio_high': ratio,
        }

    monkeypatch.setattr(table, '_measured', measure)
    with pytest.raises(KeyboardInterrupt):
        table.print_table(tmp_path / 'table.json')
    table.print_table(tmp_path / 'table.json')
    assert len(measured) == len(table.PARTS) + 1
    printed = capsys.readouterr().out
    assert (
        '| vitdet-b | training | 20 | 10 | 1.40 | 2.00 (2.00-2.00) | 1.25 (1.25-1.25) | 1.50 (1.50-1.50) | 1.25 |'
        in printed
    )
    assert '| plain-vit-s | 10 (1.00) | - | - | - | 8 (1.25) | - | - | 1.30, -, -, - |' in printed
    content = json.loads((tmp_path / 'table.json').read_text())
    content['machine']['processor'] = 'another'
    (tmp_path / 'table.json').write_text(json.dumps(content))
    with pytest.raises(InputError, match=r'table\.json has figures of another machine'):
        table.print_table(tmp_path / 'table.json')


@pytest.mark.parametrize('right', [True, False])
def test_runtimes_take_turns_on_one_model(monkeypatch, small_products, right):
    monkeypatch.setitem(served.SERVED, 'small', lambda size: nn.Conv2d(3, 4, 3))
    monkeypatch.setattr(runtimes, 'installed', lambda: ['ours', 'fused'])
    ours = runtimes._ours
    factor = 1 if right else 1.01
    monkeypatch.setattr(
        runtimes,
        '_ours',
        lambda kind, model: lambda: [output * (factor if kind == 'fused' else 1) for output in ours('ours', model)()],
    )
    if not right:
        with pytest.raises(RuntimeError, match='small: fused differs by'):
            runtimes.compare_runtimes('small', 8, 2)
        return
    row = runtimes.compare_runtimes('small', 8, 2)
    assert row['gigaoperations'] == pytest.approx(2e-9 * 6 * 6 * 4 * 27)
    assert set(row['ms']) == set(row['ratio']) == {'ours', 'fused'}
    assert row['difference'] == {'ours': 0, 'fused': 0}


def test_sections_exclude_those_inside_of_them():
    class Head:
        def predict(self):
            time.sleep(0.02)
            return self.decide()

        def decide(self):
            time.sleep(0.05)
            return 3

    head, watch = Head(), Stopwatch()
    watch.count(head, 'predict', HEADS)
    watch.count(head, 'decide', POST)
    watch.count(head, 'absent', POST)
    assert head.predict() == 3
    assert 0.02 <= watch.seconds[HEADS] < 0.05 <= watch.seconds[POST]
    shares = watch.shares(0.2)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares['rest'] > 0.3


def test_what_grows_faster_than_its_operations_has_a_mark():
    row = {
        'model': 'a',
        'size': 64,
        'batch': 1,
        'GFLOP': 1.0,
        'ms': 10.0,
        'of products': 2.0,
        'peak MB': None,
        'MB for 1000 tokens': None,
    }
    large = {**row, 'GFLOP': 4.0, 'ms': 45.0}
    assert benchmark_growth._line(large, [row], 1.25).endswith('| - | - |')
    assert benchmark_growth._line({**large, 'ms': 51.0}, [row], 1.25).endswith('grows faster than its operations')


def test_an_unknown_subject_is_named(monkeypatch, capsys):
    assert _main(monkeypatch, '--subjects', 'vitdet-x') != 0
    printed = capsys.readouterr()
    assert "no subject matches 'vitdet-x': --list shows what there is." in printed.out + printed.err


@pytest.mark.skipif(sys.platform != 'linux', reason='memory is read from /proc')
@pytest.mark.parametrize('training', [False, True])
def test_memory_of_all_pairs_shows(training):
    case = Case('attention-t-global-rel-pos', 512, 1, 'cpu', 'float32', training)
    pairs = 3 * 1024**2 * 4 / 1e6
    assert peak_mb(case, 'baseline', torch.get_num_threads()) > 1.8 * pairs


def test_a_frozen_trunk_keeps_nothing_and_one_with_injectors_nearly_all():
    def kept(name):
        pair = build(name, 64, 1, 'cpu', True)
        case = Case(name, 64, 1, 'cpu', 'float32', training=True)
        return [kept_mb(pair, variant, case) for variant in VARIANTS]

    frozen, tuned = kept('frozen-pyramid-t')
    assert 0 < frozen < 0.4 * tuned
    frozen, tuned = kept('frozen-adapter-t')
    assert 0.8 * tuned < frozen <= tuned
