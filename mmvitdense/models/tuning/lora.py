"""LoRA (arXiv 2106.09685): a frozen ViT whose linear layers learn an update of low rank."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

from torch import nn

from mmvitdense.frozen_weights import forget_loaded
from mmvitdense.layers import LowRankLinear
from mmvitdense.models.backbones.vit import BaseViT, ViT
from mmvitdense.models.backbones.vit_options import check_sizes
from mmvitdense.models.backbones.vit_sizes import block_indices
from mmvitdense.registry import MODELS

_FUSED = 'attn.qkv'
_PARTS = ('q', 'k', 'v')
_ENDS = {'qkv': _FUSED, 'proj': 'attn.proj'}
_FFN = 'ffn'


@MODELS.register_module(name='LoRA')
def build_lora(
    vit: dict[str, Any] | ViT,
    rank: int = 8,
    alpha: float | None = None,
    targets: Sequence[str] = ('q', 'v'),
    blocks: Sequence[int] | None = None,
    dropout: float = 0.0,
) -> ViT:
    """Build a ViT that is frozen but for LoRA, wherever a ViT may stand: as a backbone or in any holder of one.

    What is returned is the ViT itself, so that its `init_cfg`, its names and its layer-wise decay are as before::

        backbone=dict(
            type='mmvitdense.LoRA',
            rank=8,
            vit=dict(preset='dinov2-small', init_cfg=dict(type='ViTPretrained', checkpoint='...')))

    Args:
        vit: Config of the ViT, its type `PlainViT` if not given; or the module, of which a copy is made.
        rank: See `add_lora`.
        alpha: See `add_lora`.
        targets: See `add_lora`.
        blocks: See `add_lora`.
        dropout: See `add_lora`.
    """
    is_module = isinstance(vit, nn.Module)
    vit = copy.deepcopy(vit) if is_module else MODELS.build({'type': 'mmvitdense.PlainViT', **vit})
    add_lora(vit, rank, alpha, targets, blocks, dropout)
    return vit


def add_lora(
    vit: ViT,
    rank: int = 8,
    alpha: float | None = None,
    targets: Sequence[str] = ('q', 'v'),
    blocks: Sequence[int] | None = None,
    dropout: float = 0.0,
) -> list[str]:
    """Freeze a ViT, and give its linear layers updates that are trained. At the start it computes what it did.

    Args:
        vit: The ViT, changed in place.
        rank: Rank of the updates.
        alpha: The updates are multiplied by `alpha / rank`; `rank` if None, for a factor of one.
        targets: Which layers: 'q', 'k' and 'v' for rows of the joint projection, each with an update of its own (the
            paper has 'q' and 'v'); 'qkv' for one update of it as a whole, as peft and timm have it; 'proj' for the
            projection behind the attention; 'ffn' for the feed-forward network; else the end of a name of layers.
        blocks: Indices of the blocks; None for all that run.
        dropout: Probability with which an input of the updates is zero in training; none in blocks that
            `frozen_stages` keeps in evaluation.

    Returns:
        Names of the layers.

    Raises:
        ValueError: A target is no layer of the ViT, or a block has not the layer, or options are out of range.
    """
    _check(rank, alpha, dropout)
    if any(isinstance(module, LowRankLinear) for module in vit.modules()):
        raise ValueError(
            'the ViT has LoRA already: give all targets and blocks at once, or call remove_lora(vit) first'
        )
    last = vit.out_indices[-1] if isinstance(vit, BaseViT) else vit.num_layers - 1
    chosen = range(last + 1) if blocks is None else block_indices('blocks', blocks, vit.num_layers)
    if idle := [index for index in chosen if index > last]:
        raise ValueError(f'blocks names {idle}, which never run: the last output is that of block {last}')
    if not len(chosen):
        raise ValueError('blocks names no block: give their indices, or None for all that run')
    found = _layers(vit, (targets,) if isinstance(targets, str) else tuple(targets), chosen)
    vit.requires_grad_(False)
    for name, (layer, rows) in found.items():
        _replace(vit, name, LowRankLinear(layer, rows, rank, rank if alpha is None else alpha, dropout))
    return list(found)


def merge_lora(model: nn.Module) -> None:
    """Add the updates in a model to the weights, for inference at the speed of the ViT without them.

    Training, and `unmerge_lora`, take them out again. Its state dict is that of the model as it is trained.

    Raises:
        ValueError: The model has no LoRA.
    """
    for _, layer in lora_layers(model):
        layer.merge()


def unmerge_lora(model: nn.Module) -> None:
    """Undo `merge_lora`."""
    for _, layer in lora_layers(model):
        layer.unmerge()


def remove_lora(model: nn.Module) -> None:
    """Replace the layers with LoRA by plain ones that compute the same, whose weights have the names of the ViT.

    What was frozen stays frozen.
    """
    found = lora_layers(model)
    forget_loaded(model, {f'{name}.weight' for name, _ in found})
    for name, layer in found:
        _replace(model, name, layer.plain().requires_grad_(False))


def lora_layers(model: nn.Module) -> list[tuple[str, LowRankLinear]]:
    """Names and layers with LoRA.

    Raises:
        ValueError: There are none.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, LowRankLinear)]
    if not found:
        raise ValueError(f'{type(model).__name__} has no layer with LoRA: build it with dict(type="LoRA", vit=...)')
    return found


def _check(rank: int, alpha: float | None, dropout: float) -> None:
    check_sizes(rank=rank)
    if alpha is not None and not (isinstance(alpha, Real) and 0 < alpha < float('inf')):
        raise ValueError(f'alpha must be above 0, and finite, got {alpha!r}')
    if not (isinstance(dropout, Real) and 0 <= dropout < 1):
        raise ValueError(f'dropout must be at least 0 and below 1, got {dropout!r}')


def _layers(
    vit: ViT, targets: tuple[str, ...], blocks: Sequence[int]
) -> dict[str, tuple[nn.Linear, dict[str, tuple[int, int]]]]:
    """{name: the layer, and the rows of each of its updates}."""
    if not targets or ('qkv' in targets and set(targets) & set(_PARTS)):
        raise ValueError(f"targets must be some of 'q', 'k', 'v', or 'qkv' for all in one, and others, got {targets}")
    linear = {name: layer for name, layer in _linear_layers(vit) if _block_of(vit, name) in blocks}
    found: dict[str, tuple[nn.Linear, dict[str, tuple[int, int]]]] = {}
    for target in targets:
        names = [name for name in linear if _is_target(name, target)]
        if not names:
            ends = sorted({'.'.join(name.split('.')[-2:]) for name in linear})
            raise ValueError(f'no linear layer in the blocks {list(blocks)} is the target {target!r}: there are {ends}')
        for name in names:
            rows = found.setdefault(name, (linear[name], {}))[1]
            third = linear[name].out_features // 3
            index = _PARTS.index(target) if target in _PARTS else 0
            whole = (0, linear[name].out_features)
            rows[target if target in _PARTS else 'all'] = (
                (index * third, (index + 1) * third) if target in _PARTS else whole
            )
    return found


def _is_target(name: str, target: str) -> bool:
    if target == _FFN:
        return '.mlp.' in name
    end = _FUSED if target in _PARTS else _ENDS.get(target, target)
    return f'.{name}'.endswith(f'.{end}')


def _linear_layers(vit: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    return ((name, module) for name, module in vit.named_modules() if isinstance(module, nn.Linear))


def _block_of(vit: ViT, name: str) -> int:
    """The block of a layer; -1 for what comes before them, `num_layers` for what comes after."""
    return vit.get_layer_depth(f'{name}.weight')[0] - 1


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition('.')
    setattr(model.get_submodule(parent), own, layer)
