"""LayerScale multiplied into the weights before it, for models without it."""

from __future__ import annotations

import re

from torch import Tensor

_GAIN = re.compile(r'^(.*blocks\.\d+\.)ls([12])\.gamma$')


def fold_layer_scale(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the gains into the last layers of the branches, which computes the same.

    Args:
        weights: Names of `PlainViT`.

    Returns:
        The weights without 'ls1.gamma' and 'ls2.gamma'.
    """
    folded = dict(weights)
    for name, gain in weights.items():
        if match := _GAIN.match(name):
            del folded[name]
            layers = ('attn.proj',) if match[2] == '1' else ('mlp.fc2', 'mlp.w3')
            for layer in (f'{match[1]}{layer}' for layer in layers):
                if f'{layer}.weight' in folded:
                    folded[f'{layer}.weight'] = folded[f'{layer}.weight'] * gain[:, None]
                    folded[f'{layer}.bias'] = folded[f'{layer}.bias'] * gain
    return folded
