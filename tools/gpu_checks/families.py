"""Every config, made small, on a device and in each type, against float32 on the CPU.

The CPU computes in plain PyTorch where this project has kernels, and random numbers are drawn on the CPU for all, so
that samples of anchors, noise of queries and dropped paths are the same. Compared are the maps of backbone and neck
with the gradients of a smooth function of them, which nothing discrete disturbs, the losses, and the predictions.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmvitdense import ops
from mmvitdense.apis.wide_heads import give_float32

from .numbers import SameRandomNumbers, distance, farthest
from .rows import Failed, Report, cuda_is_broken, describe
from .small import Small, images_of, maps_of
from .trials import TYPES, a_step, autocast, captured, losses_of, repeats

MAPS = {'float32': 1e-4, 'bfloat16': 0.06, 'float16': 0.01}
"""Largest distance of the maps that is accepted, as a part of their norm."""
GRADIENTS = {'float32': 1e-3, 'bfloat16': 0.15, 'float16': 0.06}
"""Near zero the gradient of a ReLU jumps, and rounding turns some of them: the distance grows with the root of the
rounding. LiFT, five ReLUs in a row, is off by 0.03 in float16; with SiLU in their place it would be 0.001."""
LOSSES = {'float32': 1e-2, 'bfloat16': 0.3, 'float16': 0.1}
"""Losses depend on choices among nearly equal candidates, which a last bit can turn."""
SCALE = 1024.0
"""Of gradients in float16."""


def items(device: str) -> list[str]:
    """All configs that a user would start from."""
    from tests.configs.test_configs import LEAVES

    return LEAVES


def run(names: Sequence[str], device: str, report: Report, folder: Path) -> None:
    """A row for each config; the row names the worst of each comparison."""
    from mmvitdense.datasets.shapes import write_shapes

    root = write_shapes(folder / 'shapes', 6, 3, image_size=(96, 128), seed=1)
    for name in names:
        with report.guard(name) as row:
            _check(name, device, root, row, folder.parent / 'twins')


def _check(name: str, device: str, root: Path, row: dict[str, Any], twins: Path) -> None:
    small = Small(name, root)
    small.skip_twin(twins)
    model, training, validation = small.model(), small.batch('train_dataloader'), small.batch('val_dataloader')
    with _reference():
        wanted = _results(copy.deepcopy(model), training, validation, 'cpu', 'float32')
    types = [dtype for dtype in TYPES if device != 'cpu' or dtype != 'float16']
    problems = row['problems'] = []
    for dtype in types:
        problems += _attempt(
            dtype, row, lambda dtype=dtype: _compare(small, model, training, validation, device, dtype, wanted, row)
        )
    for label, trial in (('repeats', repeats), ('captured', captured)):
        problems += _attempt(label, row, lambda trial=trial: trial(copy.deepcopy(model), training, device, row))
    if problems:
        raise Failed('; '.join(problems))


def _attempt(label: str, row: dict[str, Any], trial: Callable[[], list[str]]) -> list[str]:
    """What is wrong with one trial; an error in it does not end the others, unless it is one of CUDA."""
    try:
        return [f'{label}: {problem}' for problem in trial()]
    except Exception as error:
        row.setdefault('traces', {})[label] = traceback.format_exc()[-2500:]
        # What a capture that failed leaves of the allocator is not to be relied on.
        if cuda_is_broken() or (label == 'captured' and torch.cuda.is_available()):
            row['leave'] = True
            raise Failed('; '.join([*row['problems'], f'{label}: {describe(error)}'])) from None
        return [f'{label}: {describe(error)}']


@contextmanager
def _reference() -> Iterator[None]:
    from mmvitdense.ops import backends

    before = backends.chosen()
    ops.set_backend('reference')
    try:
        yield
    finally:
        ops.set_backend(before)


def _results(model: nn.Module, training: Any, validation: Any, device: str, dtype: str) -> dict[str, Any]:
    """Maps, gradients of a smooth function of them, losses, and predictions."""
    model = model.to(device).eval()
    if dtype != 'float32':
        give_float32(model)  # as runs in mixed precision do
    images = images_of(model, training)
    scale = SCALE if dtype == 'float16' else 1.0
    with SameRandomNumbers():
        torch.manual_seed(1)
        with autocast(device, dtype):
            maps = maps_of(model)(images)
        generator = torch.Generator().manual_seed(7)
        total = sum(
            (tensor.float() * torch.randn(tensor.shape, generator=generator).to(device)).sum() / tensor.numel() ** 0.5
            for tensor in maps
        )
        gradients = {}
        if total.requires_grad:
            (total * scale).backward()
            gradients = {n: p.grad / scale for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad(set_to_none=True)
        losses, loss_gradients = losses_of(model.train(), training, device, dtype, scale)
    return {
        'maps': [tensor.detach().float().cpu() for tensor in maps],
        'gradients': {name: gradient.cpu() for name, gradient in gradients.items()},
        'losses': losses,
        'loss gradients': loss_gradients,
        'predictions': _predictions(model.eval(), validation, device, dtype),
    }


@torch.no_grad()
def _predictions(model: nn.Module, validation: Any, device: str, dtype: str) -> list[Tensor]:
    """Of each image the label map, or the scores of what was found in their order."""
    torch.manual_seed(2)
    with SameRandomNumbers(), autocast(device, dtype):
        results = model.val_step(copy.deepcopy(validation))
    found = []
    for result in results:
        if 'pred_sem_seg' in result:
            found.append(result.pred_sem_seg.data.cpu())
        elif 'pred_instances' in result and 'scores' in result.pred_instances:
            boxes = result.pred_instances.get('bboxes')
            if boxes is not None and boxes.element_size() < 4:
                raise Failed(f'boxes are {boxes.dtype}, whose pixels are whole ones or more')
            found.append(result.pred_instances.scores.float().sort(descending=True).values.cpu())
    return found


def _compare(
    small: Small, model: nn.Module, training: Any, validation: Any, device: str, dtype: str, wanted: Any, row: dict
) -> list[str]:
    found = _results(copy.deepcopy(model), training, validation, device, dtype)
    figures = row.setdefault(dtype, {})
    problems = []
    figures['maps'] = distance(found['maps'], wanted['maps'])
    if not figures['maps'] <= MAPS[dtype]:
        problems.append(f'maps differ by {figures["maps"]:.1e}')
    for kind, limit in (('gradients', GRADIENTS[dtype]), ('loss gradients', None)):
        if found[kind].keys() != wanted[kind].keys():
            problems.append(f'only one side has {kind} of {sorted(found[kind].keys() ^ wanted[kind].keys())[:3]}')
            continue
        figures[kind] = distance(found[kind].values(), wanted[kind].values())
        name, part = farthest(found[kind], wanted[kind])
        figures[f'worst of {kind}'] = f'{name} {part:.1e}'
        if limit and not figures[kind] <= limit:
            problems.append(f'{kind} differ by {figures[kind]:.1e}, most of {name}')
    problems += _compare_ends(model, training, validation, dtype, found, wanted, figures)
    if dtype != 'float32' and device != 'cpu':
        problems += a_step(small, copy.deepcopy(model).to(device).train(), training, dtype)
    return problems


def _compare_ends(
    model: nn.Module, training: Any, validation: Any, dtype: str, found: Any, wanted: Any, figures: dict[str, Any]
) -> list[str]:
    """What is wrong with losses and predictions, which may hang on the last bits of what they are computed from.

    How much they do is seen on the CPU, on a model whose parameters are off by such a bit.
    """
    differences = _loss_differences(found, wanted)
    worst = max(differences, key=differences.get)
    figures['losses'] = differences['loss']
    figures['worst loss'] = f'{worst} {differences[worst]:.1e}'
    figures['predictions'] = agreement(found['predictions'], wanted['predictions'])
    loss_is_off = not differences['loss'] <= LOSSES[dtype]
    predictions_are_off = dtype == 'float32' and figures['predictions'] < 0.98
    if dtype == 'float32' and (loss_is_off or predictions_are_off):
        near = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in near.parameters():
                parameter.mul_(1 + 2**-22 * torch.randn_like(parameter))
        with _reference():
            close = _results(near, training, validation, 'cpu', 'float32')
        figures['losses by a last bit'] = _loss_differences(close, wanted)['loss']
        figures['predictions by a last bit'] = agreement(close['predictions'], wanted['predictions'])
        loss_is_off = loss_is_off and not differences['loss'] <= 10 * figures['losses by a last bit']
        by_a_bit = 1 - figures['predictions by a last bit']
        predictions_are_off = predictions_are_off and not 1 - figures['predictions'] <= 10 * by_a_bit
    problems = []
    if loss_is_off:
        problems.append(f'the loss differs by {differences["loss"]:.1e}, most in {worst} ({differences[worst]:.1e})')
    if predictions_are_off:
        problems.append(f'predictions agree in {figures["predictions"]:.3f}')
    return problems


def _loss_differences(found: Any, wanted: Any) -> dict[str, float]:
    return {
        name: abs(found['losses'].get(name, float('nan')) - value) / max(abs(value), 1e-3)
        for name, value in wanted['losses'].items()
    }


def agreement(found: list[Tensor], wanted: list[Tensor]) -> float:
    """The share of equal labels, or of scores that are alike."""
    if len(found) != len(wanted):
        return 0.0
    shares = [1.0]
    for one, other in zip(found, wanted):
        if not one.is_floating_point():
            shares.append((one == other).float().mean().item())
        elif one.shape == other.shape and one.numel():
            shares.append(((one - other).abs() <= 1e-3 * other.abs().max()).float().mean().item())
        elif one.shape != other.shape:
            shares.append(1 - abs(len(one) - len(other)) / max(len(one), len(other)))
    return min(shares)
