"""The benchmark compares equals: each formulation of a release gives our outputs and gradients, on odd windows too."""

import json
import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
sys.path.insert(0, str(TOOLS))
import benchmark_models  # noqa: E402
from benchmarks.measure import VARIANTS, Case, check_agreement, kept_mb, peak_mb, runner  # noqa: E402
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


def _main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['benchmark_models.py', '--device', 'cpu', *arguments])
    return benchmark_models.main()


def test_the_tool(tmp_path, monkeypatch, capsys):
    rows = tmp_path / 'rows.json'
    options = ['--sizes', '64', '--repeats', '2', '--passes', 'forward', '--no-memory', '--json', str(rows)]
    assert _main(monkeypatch, '--subjects', 'attention-t-window', *options) == 0
    (row,) = json.loads(rows.read_text())
    assert row['ratio_low'] <= row['ratio'] <= row['ratio_high']
    start = (
        f'| attention-t-window | 64 | 1 | float32 | forward | eager | {row["baseline_ms"]:.1f} | {row["ours_ms"]:.1f} |'
    )
    assert start in capsys.readouterr().out


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
