"""Single trials of a model: a loss with its gradients, a step in mixed precision, a repetition, a graph."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .numbers import distance
from .rows import Failed
from .small import Small, images_of, maps_of

TYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
_STEPS = 10
"""At most, until the scale of the loss lets one through."""


def repeats(model: nn.Module, training: Any, device: str, row: dict[str, Any]) -> list[str]:
    """With deterministic algorithms asked for, a step gives the same bits twice, or torch names what cannot.

    How far its gradients are from those of the ordinary forms is noted.
    """
    model = model.to(device).train()
    ordinary = losses_of(model, training, device, 'float32', 1.0)[1]
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (losses_of(model, training, device, 'float32', 1.0)[1] for _ in range(2))
    except RuntimeError as error:
        if 'does not have a deterministic implementation' not in str(error):
            raise
        row['without a deterministic form'] = str(error).split(' does not have')[0]
        return []
    finally:
        torch.use_deterministic_algorithms(False)
    row['deterministic'] = distance([first[name] for name in ordinary], ordinary.values())
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
def captured(model: nn.Module, training: Any, device: str, row: dict[str, Any]) -> list[str]:
    """Backbone and neck in a CUDA graph give for another image what they give without."""
    model = model.to(device).eval()
    images, function = images_of(model, training), maps_of(model)
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


def a_step(small: Small, model: nn.Module, training: Any, dtype: str) -> list[str]:
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


def losses_of(
    model: nn.Module, training: Any, device: str, dtype: str, scale: float
) -> tuple[dict[str, float], dict[str, Tensor]]:
    torch.manual_seed(1)
    data = model.data_preprocessor(copy.deepcopy(training), training=True)
    with autocast(device, dtype):
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


def autocast(device: str, dtype: str) -> Any:
    return nullcontext() if dtype == 'float32' else torch.autocast(device, TYPES[dtype])
