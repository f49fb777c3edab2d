"""Options of ``ViTCoMer`` and ``ViTAdapter`` that names and shapes of official checkpoints tell."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

_NUM_POINTS = 4
"""Sampling points of every released model; only their product with the heads is in the weights."""

_STAGE = re.compile(r'^interactions\.(\d+)\.')


def shared_options(weights: dict[str, Tensor], num_layers: int, attention: str, num_levels: int) -> dict[str, Any]:
    """The options that both models have.

    Args:
        weights: What surrounds the ViT, in this project's names.
        num_layers: Blocks of the ViT.
        attention: End of the name of a deformable attention, such as 'extractor.attn'.
        num_levels: Maps that it samples.
    """
    dims = weights['level_embed'].shape[1]
    options: dict[str, Any] = {'conv_inplane': len(weights['spm.stem.0.weight'])}
    stages = num_stages(weights)
    if stages != 4 or num_layers % stages:
        stops = [-(-num_layers * (index + 1) // stages) for index in range(stages)]
        options['interaction_indexes'] = [[start, stop - 1] for start, stop in zip([0, *stops], stops)]
    for name, weight in weights.items():
        if name.endswith(f'{attention}.attention_weights.weight'):
            options['deform_num_heads'] = len(weight) // (num_levels * _NUM_POINTS)
        elif name.endswith(f'{attention}.value_proj.weight'):
            options['deform_ratio'] = ratio(len(weight), dims)
    hidden = [len(weight) for name, weight in weights.items() if name.endswith('.ffn.fc1.weight')]
    options['cffn_ratio'] = ratio(hidden[0], dims) if hidden else None
    return options


def num_stages(weights: dict[str, Tensor]) -> int:
    """Number of interactions."""
    return 1 + max((int(match[1]) for name in weights if (match := _STAGE.match(name))), default=-1)


def num_extra(weights: dict[str, Tensor], part: str) -> int:
    """How many modules the list ``part``, such as 'extra_CTIs', has."""
    pattern = re.compile(rf'^interactions\.\d+\.{part}\.(\d+)\.')
    return 1 + max((int(match[1]) for name in weights if (match := pattern.match(name))), default=-1)


def ratio(hidden: int, dims: int) -> float:
    """The share from which ``int(dims * share)`` is ``hidden``."""
    share = hidden / dims
    return share if int(dims * share) == hidden else (hidden + 0.5) / dims


def untold(options: dict[str, Any]) -> list[str]:
    """What the weights do not tell and what to do about it, a line for each."""
    vit = options['vit']
    lines = [
        "vit_feature: not in the weights; 'last' for models of the detection code (the default here), 'stagewise' for "
        'those of the segmentation code'
    ]
    if 'rel_pos' not in vit:
        lines.append(
            "windows of the ViT: not in the weights; models of the detection code have mostly window_size=14 in 'vit', "
            'those of the segmentation code none'
        )
    if 'interaction_indexes' in options:
        lines.append(
            'interaction_indexes: not in the weights; those above are a guess, '
            f'{len(options["interaction_indexes"])} stages of a like number of the {vit["num_layers"]} blocks'
        )
    return lines
