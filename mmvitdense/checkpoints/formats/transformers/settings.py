"""What config.json of `transformers` says of a ViT and its weights do not show.

Files of models around a ViT have its part inside, of which some releases wrote only what differs from the library's
defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

Config = Mapping[str, Any]

ACTIVATIONS = {'gelu': 'gelu', 'gelu_tanh': 'gelu_pytorch_tanh', 'quick_gelu': 'quick_gelu'}
"""Names of activations, ours and those of `transformers`."""


class Defaults(NamedTuple):
    """Values of keys that a file lacks.

    Attributes:
        heads: 'num_attention_heads'.
        act: 'hidden_act'.
        eps: 'layer_norm_eps' or 'rms_norm_eps'.
    """

    heads: int = 12
    act: str = 'gelu'
    eps: float = 1e-6


# The library's default for the first ViTs, with which none of them was trained: it says nothing.
UNSAID_EPS = 1e-12
DEFAULTS = {
    **{name: Defaults(eps=UNSAID_EPS) for name in ('vit', 'deit', 'vit_mae', 'ijepa', 'beit', 'data2vec-vision')},
    **{name: Defaults() for name in ('vit_msn', 'dinov2', 'dinov2_with_registers', 'vitdet', 'sam_vision_model')},
    'dinov3_vit': Defaults(heads=6, eps=1e-5),
    'clip_vision_model': Defaults(act='quick_gelu', eps=1e-5),
    'siglip_vision_model': Defaults(act='gelu_pytorch_tanh'),
    'siglip2_vision_model': Defaults(act='gelu_pytorch_tanh'),
    'aimv2_vision_model': Defaults(heads=8, act='silu', eps=1e-5),
    **{name: Defaults(heads=16) for name in ('sam3_vit_model', 'eomt', 'eomt_dinov3', 'radio')},
    'tipsv2_vision_model': Defaults(),
}
"""By the 'model_type' of a ViT."""

_OTHER_NAMES = {'gelu_new': 'gelu_tanh', 'gelu_fast': 'gelu_tanh', 'gelu_python': 'gelu'}
_OURS = {**{theirs: ours for ours, theirs in ACTIVATIONS.items()}, **_OTHER_NAMES}
_SILU = ('silu', 'swish')
# Others compute SiLU in gated networks whatever config.json says.
_ASKED_WHEN_GATED = ('dinov3_vit', 'aimv2_vision_model', 'eomt_dinov3')
_EPS = ('layer_norm_eps', 'rms_norm_eps')
_PATCHES, _GATE = 'patch_embed.proj.weight', 'blocks.0.mlp.w3.weight'
_BLOCK = re.compile(r'(^|\.)blocks\.\d+\.norm1\.weight$')


def settings(weights: Mapping[str, Tensor], config: Config) -> dict[str, Any]:
    """Number of heads, activation and epsilon of the norms, as options of `PlainViT`.

    Args:
        weights: Names of `PlainViT`, or of a model that holds one.
        config: What config.json says.

    Returns:
        {option: value}; empty where no part of it is about a ViT of this width and depth.

    Raises:
        CheckpointError: The ViT has an activation that `PlainViT` lacks.
    """
    part = part_of_vit(weights, config)
    if part is None:
        return {}
    kind = part['model_type']
    defaults = DEFAULTS[kind]
    options = {'num_heads': part.get('num_attention_heads', defaults.heads)}
    act, gated = part.get('hidden_act', defaults.act), any(name.endswith(_GATE) for name in weights)
    if (gated and kind in _ASKED_WHEN_GATED and act not in _SILU) or (not gated and act not in _OURS):
        known = ', '.join(_SILU[:1] if gated else ACTIVATIONS.values())
        raise CheckpointError(
            f'config.json beside the weights says hidden_act={act!r}, and {"gated " if gated else ""}networks of '
            f'PlainViT have {known}: the outputs would be wrong'
        )
    if not gated:
        options['act'] = _OURS[act]
    eps = next((part[key] for key in _EPS if key in part), defaults.eps)
    return options if eps == UNSAID_EPS else {**options, 'norm_eps': eps}


def settings_with_windows(weights: Mapping[str, Tensor], config: Config) -> dict[str, Any]:
    """The same with the windows of ViTDet, SAM and SAM 3."""
    options, part = settings(weights, config), part_of_vit(weights, config)
    if part is None or not part.get('window_size'):
        return options
    if 'window_block_indices' in part:
        blocks = set(range(_depth(weights))) - set(part['window_block_indices'])
    elif 'global_attn_indexes' in part:
        blocks = part['global_attn_indexes']
    else:
        return options
    return {**options, 'window_size': part['window_size'], 'global_blocks': tuple(sorted(blocks))}


def part_of_vit(weights: Mapping[str, Tensor], config: Config) -> Config | None:
    """The part of a config.json about the ViT of these weights; None without one, and where parts disagree."""
    shape = {
        'hidden_size': next((len(x) for name, x in weights.items() if name.endswith(_PATCHES)), None),
        'num_hidden_layers': _depth(weights),
    }
    found = [part for part in _parts(config) if part.get('model_type') in DEFAULTS]
    found = [part for part in found if all(part.get(key, value) == value for key, value in shape.items())]
    return found[0] if found and all(part == found[0] for part in found) else None


def _depth(weights: Mapping[str, Tensor]) -> int:
    return sum(_BLOCK.search(name) is not None for name in weights)


def _parts(config: Config) -> Iterator[Config]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _parts(value)
