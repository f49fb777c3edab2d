"""Multiply-adds and parameters of the parts of a model, counted without computing anything where that is possible."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from mmvitdense import ops

from .build import build_model
from .build_errors import message_of
from .errors import InputError
from .export_model import default_size
from .image_loading import test_dataset
from .known_integers import integers_known
from .model_parts import counted_parts, parts_of
from .named_models import find_config

_PER_SAMPLE = 8
"""Operations of a sample in a channel: one multiply-add for each of its four corners."""


class PartCost(NamedTuple):
    """A row of the table.

    Attributes:
        name: Path of the part in the model.
        flops: Multiplications and additions for one image; half of it are multiply-adds.
        parameters: How many numbers it holds that can be trained.
        trainable: How many of these are trained by the config.
    """

    name: str
    flops: int
    parameters: int
    trainable: int


class ModelCost(NamedTuple):
    """What one image costs.

    Attributes:
        size: Height and width of the image.
        parts: One row a part, the last for what is in none.
        note: What is assumed of the image, '' if nothing.
    """

    size: tuple[int, int]
    parts: list[PartCost]
    note: str

    @property
    def total(self) -> PartCost:
        """All parts together."""
        return PartCost('total', *(sum(row[place] for row in self.parts) for place in (1, 2, 3)))


def model_cost(
    config: Any, size: tuple[int, int] | None = None, cfg_options: dict[str, Any] | None = None
) -> ModelCost:
    """Count what a model takes for one image, as it predicts.

    Counted are products of matrices, convolutions, attention (its two products, and those with the tables of relative
    positions) and the samples of deformable attention (four corners each), not norms, activations, resizing and
    suppression. A detector of two stages is given as many regions as its `test_cfg` lets through, and masks for as
    many boxes. Segmentors with windows are counted for one window.

    Args:
        config: As for `find_config`.
        size: Height and width of the image; by default that of the config's tests, see `test_size`.
        cfg_options: {dotted key: value} merged into the config.

    Raises:
        InputError: The config says no size, or its model cannot predict an image of it.
    """
    cfg, _ = find_config(config, cfg_options)
    count = _Count(cfg)
    model = count.model
    size = size or test_size(cfg, model)
    if min(size) < 1:
        raise InputError(f'--size must be two numbers above 0, got {size[0]} {size[1]}.')
    counts = {name: _parameters(part) for name, part in [*parts_of(model), ('', model)]}
    note = count.run(size)
    whole = counts.pop('')
    rows = [PartCost(name, count.flops.get(name, 0), *of_part) for name, of_part in counts.items()]
    rows = [row for row in rows if row.flops or row.parameters]
    rest = count.flops[''], *(whole[place] - sum(of_part[place] for of_part in counts.values()) for place in (0, 1))
    rows += [PartCost('the rest', *rest)] if any(rest) else []
    return ModelCost(size, rows, note)


def test_size(cfg: Any, model: nn.Module) -> tuple[int, int]:
    """Height and width of an image of the config's tests: a window of a segmentor; else the scale of the pipeline, an
    image that is wider than high, padded as the preprocessor pads.

    Raises:
        InputError: The config does not say it.
    """
    if cfg.default_scope == 'mmseg':
        return default_size(cfg, model)
    scales = [step['scale'] for step in test_dataset(cfg).get('pipeline') or () if step.get('scale')]
    if not scales or isinstance(scales[-1], (int, float)):
        return default_size(cfg, model)
    divisor = getattr(model.data_preprocessor, 'pad_size_divisor', 1)
    low, high = (math.ceil(side / divisor) * divisor for side in sorted(scales[-1]))
    return low, high


def as_table(cost: ModelCost) -> str:
    """The rows as text, in units of 10^9 and 10^6."""
    lines = [f'One image of {cost.size[0]} x {cost.size[1]}, batch 1; 1 multiply-add is 1 MAC and 2 FLOPs.']
    lines.append(f'{"part":<28}{"GMACs":>10}{"GFLOPs":>10}{"parameters (M)":>16}{"trained (M)":>13}{"frozen (M)":>12}')
    for row in [*cost.parts, cost.total]:
        frozen = row.parameters - row.trainable
        numbers = f'{row.flops / 2e9:>10.2f}{row.flops / 1e9:>10.2f}'
        numbers += f'{row.parameters / 1e6:>16.2f}{row.trainable / 1e6:>13.2f}{frozen / 1e6:>12.2f}'
        lines.append(f'{row.name:<28}{numbers}')
    return '\n'.join([*lines, cost.note] if cost.note else lines)


def as_data(cost: ModelCost) -> dict[str, Any]:
    """The same as plain data."""
    return {'size': [*cost.size], 'parts': [row._asdict() for row in cost.parts], 'total': cost.total._asdict()}


def _parameters(module: nn.Module) -> tuple[int, int]:
    counts = [(p.numel(), p.numel() * p.requires_grad) for p in module.parameters()]
    return sum(count for count, _ in counts), sum(count for _, count in counts)


class _Count:
    """Counts on the meta device, where nothing is computed; what does not run there runs on a CPU, on noise."""

    def __init__(self, cfg: Any):
        self._cfg = cfg
        self.flops: dict[str, int] = {'': 0}

    @cached_property
    def _on_meta(self) -> nn.Module:
        try:
            with torch.device('meta'):
                model = build_model(self._cfg)
        except (InputError, NotImplementedError, RuntimeError):  # as an initialisation that reads numbers does
            model = build_model(self._cfg)
        # Some parameters are made from numbers that were on the CPU.
        return model.eval().to('meta')

    @cached_property
    def _on_cpu(self) -> nn.Module:
        return build_model(self._cfg).eval()

    @property
    def model(self) -> nn.Module:
        """The model, without numbers."""
        return self._on_meta

    def run(self, size: tuple[int, int]) -> str:
        """Count for an image of this size; returns what is assumed."""
        image = torch.empty(1, 3, *size, device='meta')
        maps = self._run(lambda model, given: model.extract_feat(given), image)
        heads, note = _heads_of(self._cfg, self.model, size)
        self._run(heads, maps)
        return note

    def _run(self, function: Callable[[nn.Module, Any], Any], given: Any) -> Any:
        """Call with the model and with what is given, on the device of the model; what comes back is on meta."""
        before = dict(self.flops)
        try:
            return self._counted(function, self._on_meta, given)
        except Exception:  # of many kinds, by what was read from a tensor without numbers
            self.flops = before
        generator = torch.Generator().manual_seed(0)
        noise = _pytree.tree_map_only(Tensor, lambda x: torch.randn(x.shape, generator=generator), given)
        try:
            found = self._counted(function, self._on_cpu, noise)
        except Exception as error:
            raise InputError(
                f'The model cannot be counted at this size ({message_of(error)}): give another --size, or the config '
                'of a model that predicts images.'
            ) from error
        return _pytree.tree_map_only(Tensor, lambda x: x.to('meta'), found)

    def _counted(self, function: Callable[[nn.Module, Any], Any], model: nn.Module, given: Any) -> Any:
        model.requires_grad_(False)  # the counter follows gradients, which some modules switch on
        counter = FlopCounterMode(display=False, custom_mapping=formulas())
        device = next(model.parameters()).device
        known = sum(self.flops.values())
        known_sizes = integers_known() if device.type == 'meta' else nullcontext()
        parts = counted_parts(model, counter.get_total_flops, self.flops)
        with torch.no_grad(), torch.device(device), counter, known_sizes, parts:
            found = function(model, given)
        self.flops[''] += counter.get_total_flops() - (sum(self.flops.values()) - known)
        return found


def formulas() -> dict[Any, Callable[..., int]]:
    """{operator: function of the shapes of its inputs, with `out_shape`} of what torch has no formula for."""

    def deformable(value, *rest: Any, out_shape: Any = None, **_: Any) -> int:
        weights = rest[-1]
        return _PER_SAMPLE * math.prod(weights) * value[-1]

    def attention(query, key, value, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def linear(tokens, weight, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return 2 * math.prod(tokens) * weight[0]

    found = {
        ops.schemas.OPS.ms_deform_attn: deformable,
        ops.schemas.OPS.ms_deform_attn_fused: deformable,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    }
    if hasattr(torch.ops.mkldnn, '_linear_pointwise'):
        found[torch.ops.mkldnn._linear_pointwise] = linear
    return found


def _heads_of(cfg: Any, model: nn.Module, size: tuple[int, int]) -> tuple[Callable[[nn.Module, Any], Any], str]:
    if cfg.default_scope == 'mmseg':
        return lambda model, maps: _segment(model, maps, size), ''
    from .flops_detection import heads_of

    return heads_of(model, size)


def _segment(model: nn.Module, maps: Any, size: tuple[int, int]) -> Any:
    meta = {'img_shape': size, 'ori_shape': size, 'pad_shape': size}
    return model.decode_head.predict(maps, [meta], model.test_cfg)
