"""Every config, made small, on a device and in each type, against float32 on the CPU.

The CPU computes in plain PyTorch where this project has kernels, and random numbers are drawn on the CPU for all, so
that samples of anchors, noise of queries and dropped paths are the same. Compared are the maps of backbone and neck
with the gradients of a smooth function of them, which nothing discrete disturbs, the losses, and the predictions.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mmvitdense import ops

from .numbers import SameRandomNumbers, distance, farthest
from .rows import Failed, Report, Skipped, cuda_is_broken, describe

TYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
MAPS = {'float32': 1e-4, 'bfloat16': 0.06, 'float16': 0.01}
"""Largest distance of the maps that is accepted, as a part of their norm."""
GRADIENTS = {'float32': 1e-3, 'bfloat16': 0.15, 'float16': 0.06}
LOSSES = {'float32': 1e-2, 'bfloat16': 0.3, 'float16': 0.1}
"""Losses depend on choices among nearly equal candidates, which a last bit can turn."""
SCALE = 1024.0
"""Of gradients in float16."""
_STEPS = 10
"""At most, until the scale of the loss lets one through."""
SPREAD = 0.02
"""Standard deviation of what is added to every parameter, so that no zero hides a part of a model."""


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


class Small:
    """A config made small, its model on the CPU and a batch of two images."""

    def __init__(self, name: str, root: Path):
        from tests.configs.shrink import shrink
        from tests.configs.test_configs import build_batch, build_initialised, load, without_amp

        self.config = shrink(load(name), root)
        self.config.optim_wrapper = without_amp(self.config.optim_wrapper)
        self.name = name
        self._build = functools.partial(build_initialised, self.config)
        self._batch = functools.partial(build_batch, self.config)

    def skip_twin(self, folder: Path) -> None:
        """Skip a config that in small computes what another process has begun with, which `folder` remembers."""
        from tests.configs.test_configs import without_numbers

        parts = ('model', 'default_scope', 'train_dataloader', 'val_dataloader')
        text = repr([without_numbers(self.config.get(part)) for part in parts])
        folder.mkdir(exist_ok=True)
        file = folder / hashlib.sha256(text.encode()).hexdigest()
        try:
            with file.open('x') as new:
                new.write(self.name)
        except FileExistsError:
            if (first := file.read_text()) != self.name:
                raise Skipped(f'in small the same as {first}') from None

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        model = self._build()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(SPREAD * torch.randn_like(parameter))
        return model

    def batch(self, loader: str) -> dict[str, Any]:
        import random

        import numpy

        random.seed(0)
        numpy.random.seed(0)
        torch.manual_seed(0)
        return self._batch(loader, 2)


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
    for label, trial in (('repeats', _repeats), ('captured', _captured)):
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


def _autocast(device: str, dtype: str) -> Any:
    return nullcontext() if dtype == 'float32' else torch.autocast(device, TYPES[dtype])


def images_of(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """The images of a training batch as the backbone gets them."""
    torch.manual_seed(1)
    return model.data_preprocessor(copy.deepcopy(batch), training=True)['inputs']


def tensors_of(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def _maps_of(model: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    whole = getattr(model, 'extract_feat', None) or model.backbone
    return lambda images: tensors_of(whole(images))


def _results(model: nn.Module, training: Any, validation: Any, device: str, dtype: str) -> dict[str, Any]:
    """Maps, gradients of a smooth function of them, losses, and predictions."""
    model = model.to(device).eval()
    images = images_of(model, training)
    scale = SCALE if dtype == 'float16' else 1.0
    with SameRandomNumbers():
        torch.manual_seed(1)
        with _autocast(device, dtype):
            maps = _maps_of(model)(images)
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
        losses, loss_gradients = _losses(model.train(), training, device, dtype, scale)
    return {
        'maps': [tensor.detach().float().cpu() for tensor in maps],
        'gradients': {name: gradient.cpu() for name, gradient in gradients.items()},
        'losses': losses,
        'loss gradients': loss_gradients,
        'predictions': _predictions(model.eval(), validation, device, dtype),
    }


def _losses(
    model: nn.Module, training: Any, device: str, dtype: str, scale: float
) -> tuple[dict[str, float], dict[str, Tensor]]:
    torch.manual_seed(1)
    data = model.data_preprocessor(copy.deepcopy(training), training=True)
    with _autocast(device, dtype):
        found = model(**data, mode='loss')
    total, values = model.parse_losses(found)
    if not total.isfinite():
        raise Failed(f'the loss is {total.item()}: ' + ', '.join(n for n, v in values.items() if not v.isfinite()))
    (total.float() * scale).backward()
    gradients = {n: (p.grad / scale).cpu() for n, p in model.named_parameters() if p.grad is not None}
    wrong = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
    if wrong:
        raise Failed(f'{len(wrong)} gradients of the loss are not finite, of {wrong[0]} first')
    model.zero_grad(set_to_none=True)
    return {name: value.item() for name, value in values.items()}, gradients


@torch.no_grad()
def _predictions(model: nn.Module, validation: Any, device: str, dtype: str) -> list[Tensor]:
    """Of each image the label map, or the scores of what was found in their order."""
    torch.manual_seed(2)
    with SameRandomNumbers(), _autocast(device, dtype):
        results = model.val_step(copy.deepcopy(validation))
    found = []
    for result in results:
        if 'pred_sem_seg' in result:
            found.append(result.pred_sem_seg.data.cpu())
        elif 'pred_instances' in result and 'scores' in result.pred_instances:
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
        problems += _a_step(small, copy.deepcopy(model).to(device).train(), training, dtype)
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


def _a_step(small: Small, model: nn.Module, training: Any, dtype: str) -> list[str]:
    """A step of the optimizer of the config in mixed precision; loss scaling may leave out the first ones."""
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import DefaultScope

    options = {**small.config.optim_wrapper.to_dict(), 'type': 'AmpOptimWrapper', 'dtype': dtype}
    options['loss_scale'] = 'dynamic' if dtype == 'float16' else 1.0
    options.pop('accumulative_counts', None)
    with DefaultScope.overwrite_default_scope(small.config.default_scope):
        optimizer = build_optim_wrapper(model, options)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    for _ in range(_STEPS):
        model.train_step(copy.deepcopy(training), optimizer)
        if any(not torch.equal(before[n], p) for n, p in model.named_parameters() if n in before):
            break
    else:
        return [f'{_STEPS} steps changed nothing']
    return [f'{name} is not finite after a step' for name, p in model.named_parameters() if not p.isfinite().all()][:1]


def _repeats(model: nn.Module, training: Any, device: str, row: dict[str, Any]) -> list[str]:
    """With deterministic algorithms asked for, a step gives the same bits twice, or torch names what cannot."""
    model = model.to(device).train()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (_losses(model, training, device, 'float32', 1.0)[1] for _ in range(2))
    except RuntimeError as error:
        if 'does not have a deterministic implementation' not in str(error):
            raise
        row['without a deterministic form'] = str(error).split(' does not have')[0]
        return []
    finally:
        torch.use_deterministic_algorithms(False)
    other = [name for name in first if not torch.equal(first[name], second[name])]
    return [f'{len(other)} gradients change, of {other[0]} first'] if other else []


class HostReads(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes operators whose results a program reads, which cannot be captured: what stands in for a graph."""

    READS = ('_local_scalar_dense', 'nonzero', 'is_nonzero', 'equal', 'masked_select', 'unique')

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        if name in self.READS:
            self.found.add(name)
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _captured(model: nn.Module, training: Any, device: str, row: dict[str, Any]) -> list[str]:
    """Backbone and neck in a CUDA graph give for another image what they give without."""
    model = model.to(device).eval()
    images, function = images_of(model, training), _maps_of(model)
    if device == 'cpu':
        function(images)
        with HostReads() as reads:
            function(images)
        return [f'reads numbers by {", ".join(sorted(reads.found))}'] if reads.found else []
    other = images.flip(-1) * 0.7
    wanted = [tensor.clone() for tensor in function(other)]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            function(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function(images)
    images.copy_(other)
    graph.replay()
    torch.cuda.synchronize()
    apart = distance(outputs, wanted)
    row['graph'] = apart
    return [] if apart < 1e-5 else [f'the graph differs by {apart:.1e}']
