"""How fast matrices are multiplied here, and what time a model takes against its products alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count

from mmvitdense.apis.flops import formulas
from mmvitdense.ops.product_choice import FORMS, measured_rates, onednn_forms

LAYERS = {
    'ViT-S qkv': (1024, 384, 1152),
    'ViT-S fc1': (1024, 384, 1536),
    'ViT-S fc2': (1024, 1536, 384),
    'ViT-B qkv': (1024, 768, 2304),
    'ViT-B proj': (1024, 768, 768),
    'ViT-B fc1': (1024, 768, 3072),
    'ViT-B fc2': (1024, 3072, 768),
}
"""Tokens of an image of 512 x 512, and channels in and out."""
_ROUNDS = 3


class ProductRates(NamedTuple):
    """Rates in GFLOP/s.

    Attributes:
        layers: {layer: {form: {library: rate}}} in float32.
        chosen: The forms that `mmvitdense.ops.linear` takes oneDNN for.
        best: {type: highest rate of any library and form}.
    """

    layers: dict[str, dict[str, dict[str, float]]]
    chosen: frozenset[str]
    best: dict[str, float]


def product_rates(types: Iterable[str] = ()) -> ProductRates:
    """Measure the linear layers of ViTs, outputs and gradients; besides float32 in bfloat16 where `types` has it."""
    layers = {name: measured_rates(*shape, torch.get_num_threads()) for name, shape in LAYERS.items()}
    best = {'float32': max(rate for forms in layers.values() for rates in forms.values() for rate in rates.values())}
    if 'bfloat16' in types:
        best['bfloat16'] = max(_bfloat16_rate(*shape) for shape in LAYERS.values())
    return ProductRates(layers, onednn_forms(), best)


def product_lines(rates: ProductRates) -> list[str]:
    """A table: torch's `F.linear`, oneDNN and which of them ours is, for each layer."""
    heads = {'outputs': 'outputs', 'tokens': 'gradient of tokens', 'weight': 'gradient of weight'}
    lines = [
        "Products in float32, GFLOP/s of torch's `F.linear` and of oneDNN; ours is the one with the star:",
        '| layer | ' + ' | '.join(heads[form] for form in FORMS) + ' |',
        '|' + '---|' * (1 + len(FORMS)),
    ]
    for layer, forms in rates.layers.items():
        cells = []
        for form in FORMS:
            ours = 'onednn' if form in rates.chosen else 'torch'
            cells.append(', '.join(f'{rate:.0f}{"*" * (name == ours)}' for name, rate in forms[form].items()))
        lines.append(f'| {layer} | ' + ' | '.join(cells) + ' |')
    best = ', '.join(f'{name} {rate:.0f}' for name, rate in rates.best.items())
    return [*lines, f'Best of any: {best} GFLOP/s; to it "of products" in the tables below is related.']


def operations(run: Callable[[], Any]) -> float:
    """Operations of the products, convolutions, attention and sampling of a call, two for each multiplication, in 1e9.

    They are counted as `mmvitdense flops` counts them, norms and what goes element by element left out, and backward
    passes of attention too. Sampling has no count in a backward pass.
    """
    mapping = {**formulas(), torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


def _bfloat16_rate(rows: int, ins: int, outs: int) -> float:
    tokens, weight = torch.ones(rows, ins, dtype=torch.bfloat16), torch.ones(outs, ins, dtype=torch.bfloat16)
    times = []
    with torch.inference_mode():
        for _ in range(_ROUNDS + 1):
            start = time.perf_counter()
            F.linear(tokens, weight)
            times.append(time.perf_counter() - start)
    return 2e-9 * rows * ins * outs / min(times)
