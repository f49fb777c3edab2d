"""Presets that are different models when they are made small."""

from __future__ import annotations

from typing import Any

from mmvitdense.models.backbones.presets import preset_options
from mmvitdense.pretrainings import PRESETS

_SIZES_OF_TRAINING = ('img_size', 'pretrain_img_size')


def small_presets(**sizes: Any) -> list[str]:
    """Of the presets that become the same model with these sizes, the first; the pre-training image may differ."""
    first = {}
    for name in PRESETS:
        options = preset_options(name, {'arch': 'base', **sizes})
        first.setdefault(repr(sorted((k, v) for k, v in options.items() if k not in _SIZES_OF_TRAINING)), name)
    return list(first.values())
