"""How the learning rate goes with the number of images of a step."""

from __future__ import annotations

import math
from typing import Any

RULES = ('linear', 'sqrt')
_LINEAR = ('SGD', 'ASGD', 'LARS', 'Rprop')
"""Optimizers whose steps are in proportion to the gradient; those of all others are normed, as Adam's are."""


def rule_of(optimizer: Any) -> str:
    """The rule for an optimizer, as the config names it.

    SGD's rate goes with the number of images (arXiv 1706.02677); that of Adam and its like, whose steps do not grow
    with the gradient, with the square root of it (arXiv 2205.10287).
    """
    return 'linear' if str(optimizer).rpartition('.')[2] in _LINEAR else 'sqrt'


def rate_factor(auto_scale_lr: Any, images: int) -> float | None:
    """What the learning rate is multiplied by.

    Args:
        auto_scale_lr: The field of a config; its 'rule' is one of `RULES`, by default 'linear', as in mmengine.
        images: Images of a step, of all processes and batches together.

    Returns:
        The factor, or None where the field does not say for how many images the rate is meant.
    """
    base = (auto_scale_lr or {}).get('base_batch_size')
    if not base:
        return None
    ratio = images / base
    return math.sqrt(ratio) if auto_scale_lr.get('rule') == 'sqrt' else ratio
