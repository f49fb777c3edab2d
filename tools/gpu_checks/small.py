"""Configs made small, and what their models are given."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .rows import Skipped

SPREAD = 0.02
"""Standard deviation of what is added to every parameter, so that no zero hides a part of a model."""


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


def images_of(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    """The images of a training batch as the backbone gets them."""
    torch.manual_seed(1)
    return model.data_preprocessor(copy.deepcopy(batch), training=True)['inputs']


def tensors_of(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def maps_of(model: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    whole = getattr(model, 'extract_feat', None) or model.backbone
    return lambda images: tensors_of(whole(images))
