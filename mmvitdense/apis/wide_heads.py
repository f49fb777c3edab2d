"""Heads of other libraries whose outputs are float32 where a model computes in 16 bits.

mmdet makes anchors and boxes in the type of a head's scores (`BaseDenseHead.predict_by_feat`): bfloat16 has no odd
number of pixels above 256 and steps of 4 above 512, float16 steps of 1 above 1024. mmdet 2 and detectron2 widen what a
head puts out before it becomes a box; mmdet 3 does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

_OF_BOXES = {
    'mmdet.models.dense_heads.base_dense_head': 'BaseDenseHead',
    'mmdet.models.dense_heads.detr_head': 'DETRHead',
    'mmdet.models.roi_heads.bbox_heads': 'BBoxHead',
}
_OF_MAPS = {
    'mmdet.models.roi_heads.mask_heads': 'FCNMaskHead',
    'mmseg.models.decode_heads.decode_head': 'BaseDecodeHead',
}
_BRANCHES = ('reg_branches', 'fc_reg')
"""Parts of heads of queries to whose outputs a reference in float32 is added in place, in their type."""
_NARROW = (torch.float16, torch.bfloat16)


def give_float32(model: nn.Module, maps: bool = False) -> None:
    """Have the heads in a model put out float32, in place; what is float32 already stays as it is.

    Args:
        model: Any module.
        maps: Heads of masks and label maps too, not those of boxes alone: losses are computed in float32 anyway, and
            maps of many classes take twice the memory.
    """
    kinds = _loaded(_OF_BOXES | _OF_MAPS if maps else _OF_BOXES)
    for module in model.modules():
        if isinstance(module, kinds):
            for part in (module, *_branches(module)):
                if not isinstance(part, _GivesFloat32):
                    part.__class__ = _giving_float32(type(part))


def computes_in_16_bits(cfg: Any) -> bool:
    """Whether a run of a config trains or predicts in mixed precision."""
    kind = str((cfg.get('optim_wrapper') or {}).get('type')).rpartition('.')[2]
    loops = [cfg.get(f'{name}_cfg') or {} for name in ('val', 'test')]
    return kind.endswith('AmpOptimWrapper') or any(loop.get('fp16') for loop in loops)


class _GivesFloat32:
    """Marks the classes that are made here."""


@cache
def _giving_float32(kind: type[nn.Module]) -> type[nn.Module]:
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return tree_map(_widened, kind.forward(self, *args, **kwargs))

    return derived(kind, forward, _GivesFloat32)


def derived(kind: type[nn.Module], forward: Callable[..., Any], *marks: type) -> type[nn.Module]:
    """A class that passes for another but for its `forward`."""
    own = {'forward': forward, '__module__': kind.__module__, '__doc__': kind.__doc__}
    return type(kind.__name__, (kind, *marks), own)


def _branches(head: nn.Module) -> Iterator[nn.Module]:
    for name in _BRANCHES:
        part = getattr(head, name, None)
        if isinstance(part, nn.ModuleList):
            yield from part
        elif isinstance(part, nn.Module):
            yield part


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _NARROW else value


def _loaded(names: dict[str, str]) -> tuple[type[nn.Module], ...]:
    """Classes of libraries that are imported; of others a model has none."""
    return tuple(getattr(sys.modules[name], kind) for name, kind in names.items() if name in sys.modules)
