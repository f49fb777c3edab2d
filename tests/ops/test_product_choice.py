"""Which library multiplies: measured once for a machine, the same for all processes, and in nobody's way."""

import json
import multiprocessing
import os
import random
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmvitdense.ops import apply_linear, building, linear, linear_layer, product_choice
from mmvitdense.ops.product_choice import FORMS, LIBRARIES

AVAILABLE = hasattr(torch.ops.mkldnn, '_linear_pointwise') and torch.backends.mkldnn.is_available()
needs_onednn = pytest.mark.skipif(not AVAILABLE, reason='this torch has no oneDNN for linear layers')
MIXED = {
    'outputs': {'torch': 100.0, 'onednn': 210.0},
    'tokens': {'torch': 100.0, 'onednn': 102.0},
    'weight': {'torch': 100.0, 'onednn': 80.0},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(building.CACHE_VARIABLE, str(tmp_path / 'cache'))
    monkeypatch.delenv(product_choice.VARIABLE, raising=False)
    known = (product_choice.onednn_forms, product_choice._packed_rates)
    for function in known:
        function.cache_clear()
    yield tmp_path / 'cache' / 'products'
    for function in known:
        function.cache_clear()


def measures(monkeypatch, rates=MIXED):
    """A machine that multiplies at these rates; the list grows with each time that it is measured."""
    times = []
    monkeypatch.setattr(product_choice, 'measured_rates', lambda: times.append(1) or rates)
    return times


@pytest.mark.parametrize(('choice', 'expected'), [('torch', ()), ('onednn', FORMS)])
def test_the_environment_decides(monkeypatch, choice, expected):
    times = measures(monkeypatch)
    monkeypatch.setenv(product_choice.VARIABLE, choice)
    assert product_choice.onednn_forms() == (frozenset(expected) if AVAILABLE else frozenset())
    assert not times


def test_an_unknown_choice_is_named(monkeypatch):
    monkeypatch.setenv(product_choice.VARIABLE, 'mkl')
    with pytest.raises(ValueError, match=r"MMVITDENSE_LINEAR must be 'auto', 'torch' or 'onednn', got 'mkl'"):
        product_choice.onednn_forms()


@needs_onednn
def test_each_product_goes_to_the_faster_library(monkeypatch):
    """What is as fast in both, within 3 %, stays with torch."""
    measures(monkeypatch)
    monkeypatch.setattr(linear_layer, 'SMALLEST_PRODUCT', 1000)
    calls = []
    product = linear_layer._product
    monkeypatch.setattr(linear_layer, '_product', lambda *factors: calls.append(factors) or product(*factors))
    leaves = [torch.randn(2, 9, 24), torch.randn(40, 24), torch.randn(40)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    out = linear(*leaves)
    torch.testing.assert_close(out, F.linear(*leaves))
    found = torch.autograd.grad(out.sin().sum(), leaves)
    torch.testing.assert_close(found, torch.autograd.grad(F.linear(*leaves).sin().sum(), leaves))
    assert len(calls) == 1


@needs_onednn
def test_a_machine_is_measured_once(monkeypatch, cache):
    times = measures(monkeypatch)
    assert product_choice.onednn_forms() == {'outputs'}
    # What a later run would measure does not matter, nor how many threads it has.
    later = measures(monkeypatch, {form: {'torch': 1.0, 'onednn': 9.0} for form in FORMS})
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        product_choice.onednn_forms.cache_clear()
        assert product_choice.onednn_forms() == {'outputs'}
    finally:
        torch.set_num_threads(threads)
    assert (len(times), len(later)) == (1, 0)
    (file,) = cache.glob('*.json')
    assert json.loads(file.read_text())['made for']['libraries']['torch'] == torch.__version__
    file.write_text('{"GFLOP/s": {"outputs"')
    product_choice.onednn_forms.cache_clear()
    assert product_choice.onednn_forms() == set(FORMS)
    assert len(later) == 1


@needs_onednn
def test_a_folder_that_cannot_be_written_leaves_torch_its_choice(monkeypatch, tmp_path):
    times = measures(monkeypatch)
    (tmp_path / 'file').touch()
    monkeypatch.setenv(building.CACHE_VARIABLE, str(tmp_path / 'file'))
    with pytest.warns(UserWarning, match='cannot be written: .* MMVITDENSE_CACHE names another folder'):
        assert product_choice.onednn_forms() == frozenset()
    assert not times


def _choose(queue):
    def slow():
        time.sleep(0.05)
        draw = random.Random(os.getpid())
        return {form: {name: draw.random() for name in LIBRARIES} for form in FORMS}

    product_choice.measured_rates = slow
    queue.put(product_choice.kept_rates())


@pytest.mark.skipif(os.name != 'posix', reason='a lock of files is had on POSIX only')
def test_processes_that_start_together_agree():
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    processes = [context.Process(target=_choose, args=(queue,)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(rates == found[0] for rates in found)


@needs_onednn
def test_measuring_is_not_seen_from_outside():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    counter, autocast = FlopCounterMode(display=False), torch.autocast('cpu', torch.bfloat16)
    with torch.inference_mode(), autocast, torch.device('meta'), counter:
        rates = product_choice.measured_rates(32, 16, 16)
    assert all(rates[form][name] > 0 for form in FORMS for name in LIBRARIES)
    assert counter.get_total_flops() == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_nothing_is_measured_where_onednn_has_no_business(monkeypatch):
    times = measures(monkeypatch)
    monkeypatch.setattr(linear_layer, 'SMALLEST_PRODUCT', 1000)
    layer, tokens = nn.Linear(24, 40), torch.randn(18, 24)
    torch.export.export(_Layer(layer), (tokens,))
    torch.jit.trace(_Layer(layer), tokens, check_trace=False)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        apply_linear(layer, fake.from_tensor(tokens))
        apply_linear(layer, tokens)
    with torch.autocast('cpu', torch.bfloat16):
        apply_linear(layer, tokens)
    apply_linear(layer, tokens[:1, :1].expand(1, 24))
    assert not times


class _Layer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, tokens):
        return apply_linear(self.layer, tokens)


@needs_onednn
@pytest.mark.parametrize(('onednn', 'expected'), [(98.0, True), (90.0, False)])
def test_weights_are_packed_where_that_is_not_slower(monkeypatch, cache, onednn, expected):
    found = {'packed': {'torch': 100.0, 'onednn': onednn}}
    times = []
    monkeypatch.setattr(product_choice, 'measured_packed_rates', lambda: times.append(1) or found)
    assert product_choice.packed_pays() == product_choice.packed_pays() == expected
    assert len(times) == len(list(cache.glob('*.json'))) == 1
    monkeypatch.setenv(product_choice.VARIABLE, 'onednn')
    assert product_choice.packed_pays()
    # Where nothing can be kept it holds for the process.
    monkeypatch.delenv(product_choice.VARIABLE)
    monkeypatch.setenv(building.CACHE_VARIABLE, '/dev/null/nothing')
    with pytest.warns(UserWarning, match='cannot be written'):
        assert product_choice.packed_pays() == product_choice.packed_pays() == expected
    assert len(times) == 2


@needs_onednn
def test_packed_products_are_measured():
    rates = product_choice.measured_packed_rates()['packed']
    assert set(rates) == set(LIBRARIES)
    assert min(rates.values()) > 0
