"""The ViT of a model, and which of its options a config may set."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from mmvitdense.layers import HoldsViT


@dataclass(frozen=True)
class Trunk:
    """A ViT in a config.

    Attributes:
        key: Where its settings stand.
        settings: Its settings.
        takes: Names of options that it has.
        pretrained: Whether it starts from weights.
        has_depths: Whether its parameters have depths, which a layer decay needs.
    """

    key: str
    settings: Any
    takes: Collection[str]
    pretrained: bool
    has_depths: bool

    @property
    def frozen(self) -> bool:
        """Whether all of it is frozen already."""
        return self.settings.get('frozen_stages') == 'all'


def find_trunk(cfg: Any, model: nn.Module) -> Trunk | None:
    """The ViT that is the backbone of a model, or that the backbone holds; None where there is no backbone.

    Args:
        cfg: The config.
        model: What was built of it.
    """
    key, settings, module = 'model.backbone', (cfg.get('model') or {}).get('backbone'), getattr(model, 'backbone', None)
    if not isinstance(settings, dict) or module is None:
        return None
    starts = _has_weights(settings)
    while isinstance(module, HoldsViT) and isinstance(settings.get(module.held_vits[0]), dict):
        name = module.held_vits[0]
        key, settings, inner = f'{key}.{name}', settings[name], module.get_submodule(name)
        starts = starts or _has_weights(settings)
        module = inner
    kind = settings.get('type', 'mmvitdense.PlainViT')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    takes = inspect.signature(found).parameters if found is not None else ()
    pretrained = starts or bool(cfg.get('load_from'))
    return Trunk(key, settings, takes, pretrained, hasattr(model.backbone, 'get_layer_depth'))


def _has_weights(settings: Any) -> bool:
    initial = settings.get('init_cfg')
    return bool(settings.get('pretrained')) or (isinstance(initial, dict) and bool(initial.get('checkpoint')))
