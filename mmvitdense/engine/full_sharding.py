"""Weights, gradients and the state of the optimizer, split among the processes that train together (FSDP)."""

from __future__ import annotations

import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size, is_main_process
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmvitdense.layers.block import TransformerBlock
from mmvitdense.registry import MODEL_WRAPPERS

from .errors import ShardingError


@MODEL_WRAPPERS.register_module()
class FullyShardedModel(nn.Module):
    """Stands in the place of `MMDistributedDataParallel`, and keeps in each process a part of each weight alone.

    From the first step of a training on, each process holds one of N parts of the weights, of their gradients and of
    what the optimizer keeps for them (torch's `fully_shard`, FSDP2). A transformer block is put together right before
    it runs and taken apart after it; what lies outside of the blocks of ViTs is put together once an iteration. The
    mean of gradients over all processes, and so what is trained, is that of `MMDistributedDataParallel`. Checkpoints
    hold whole weights and a whole state of the optimizer, in the form of those of one process, so that they are tested,
    converted and resumed with any number of processes, sharded or not.

    Until then the model is whole in each process: initialisation, loading, resuming and hooks before the training see
    ordinary tensors. Weights that are not sharded, single numbers without a dimension, are averaged as they are.

    Args:
        module: The model.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.sharded = False
        self.whole_gradients: dict[str, Tensor] = {}
        """Gradients that wait for a step, in the first process within `whole_state`."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> Any:
        """A step of the training; the first one shards."""
        if not self.sharded:
            self.shard(optim_wrapper)
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> Any:
        """As the model; all processes have to call it together."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> Any:
        """As the model."""
        return self.module.test_step(data)

    def shard(self, optim_wrapper: Any) -> None:
        """Keep a part of each weight, and of what belongs to it.

        Args:
            optim_wrapper: The optimizer wrapper, or several, of the whole weights.

        Raises:
            ShardingError: torch is too old.
        """
        shard, device = _fully_shard(), next(self.module.parameters()).device
        mesh = dist.init_device_mesh(device.type, (get_world_size(),))
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            dist.broadcast(tensor.data, 0)
        whole = dict(self.module.named_parameters())
        gradients = {name: parameter.grad for name, parameter in whole.items() if parameter.grad is not None}
        alone = {parameter for parameter in whole.values() if parameter.dim() == 0}
        for module in self.module.modules():
            if isinstance(module, TransformerBlock):
                shard(module, mesh=mesh)
        shard(self.module, mesh=mesh, ignored_params=alone)
        parts = dict(self.module.named_parameters())
        for parameter in alone:
            if parameter.requires_grad:
                parameter.register_hook(_averaged)
        for name, gradient in gradients.items():
            parts[name].grad = _part_of(gradient, parts[name])
        known = {whole[name]: parts[name] for name in whole}
        for wrapper in _each(optim_wrapper):
            _give_parts(wrapper.optimizer, known)
            if getattr(wrapper, 'clip_func', None) is torch.nn.utils.clip_grad_norm_:
                wrapper.clip_func = clip_norm_of_all
        self.sharded = True

    @contextmanager
    def whole_state(self, optim_wrapper: Any) -> Iterator[None]:
        """Within, `state_dict` of the model and of the optimizers gives whole tensors on the CPU in the first process.

        All processes enter together; in the others the tensors are None.
        """
        replaced = [(self.module, _whole(self.module.state_dict()))]
        replaced += [(each.optimizer, _whole(each.optimizer.state_dict())) for each in _each(optim_wrapper)]
        gradients = {name: each.grad for name, each in self.module.named_parameters() if each.grad is not None}
        pending = any(not each.should_update() for each in _each(optim_wrapper))
        self.whole_gradients = _whole(gradients) if pending else {}
        for owner, state in replaced:
            owner.state_dict = lambda *_, state=state, **__: state
        try:
            yield
        finally:
            for owner, _ in replaced:
                del owner.state_dict
            self.whole_gradients = {}


def is_sharded(model: nn.Module) -> bool:
    """Whether each process has a part of the weights alone."""
    return isinstance(model, FullyShardedModel) and model.sharded


def local_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor: a part of it, or all."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor


def clip_norm_of_all(
    parameters: Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, **_: Any
) -> Tensor:
    """`torch.nn.utils.clip_grad_norm_` by the norm over the parts of all processes, and over what is not sharded."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    groups = [[each for each in gradients if _is_part(each) is wanted] for wanted in (True, False)]
    norms = [nn.utils.get_total_norm(group, norm_type) for group in groups if group]
    norms = [norm.full_tensor() if _is_part(norm) else norm for norm in norms]
    total = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f'The norm of the gradients is not finite ({total.item()}), so that nothing can be clipped.')
    factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        local_part(gradient).mul_(factor.to(local_part(gradient).device))
    return total


def _fully_shard() -> Any:
    try:
        from torch.distributed.fsdp import fully_shard

        if 'ignored_params' in inspect.signature(fully_shard).parameters:
            return fully_shard
    except ImportError:
        pass
    raise ShardingError(
        f'FullyShardedModel needs torch 2.7 or newer, and this is {torch.__version__}: install it, or train without '
        'configs/_base_/fsdp.py.'
    )


def _each(optim_wrapper: Any) -> list[OptimWrapper]:
    return list(optim_wrapper.values()) if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]


def _averaged(gradient: Tensor) -> Tensor:
    total = gradient.clone()
    dist.all_reduce(total)
    return total / get_world_size()


def _is_part(tensor: Tensor) -> bool:
    return hasattr(tensor, 'full_tensor')


def _part_of(whole: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor, the same in all processes, that belongs to a part of a weight."""
    if not _is_part(like) or whole.shape != like.shape:
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def _give_parts(optimizer: torch.optim.Optimizer, known: dict[Tensor, Tensor]) -> None:
    """Let an optimizer of whole weights go on with their parts."""
    for group in optimizer.param_groups:
        group['params'] = [known.get(parameter, parameter) for parameter in group['params']]
    states = defaultdict(dict)
    for parameter, state in optimizer.state.items():
        part = known.get(parameter, parameter)
        states[part] = {
            name: _part_of(value, part) if isinstance(value, Tensor) else value for name, value in state.items()
        }
    optimizer.state = states


def _whole(state: Any) -> Any:
    """A copy of a state with whole tensors on the CPU in the first process, and None for tensors in others."""
    if isinstance(state, Tensor):
        whole = state.full_tensor() if _is_part(state) else state
        return whole.detach().cpu() if is_main_process() else None
    if isinstance(state, dict):
        found = OrderedDict((key, _whole(value)) for key, value in state.items())
        if hasattr(state, '_metadata'):
            found._metadata = state._metadata
        return found if isinstance(state, OrderedDict) else dict(found)
    return type(state)(map(_whole, state)) if isinstance(state, (list, tuple)) else state
