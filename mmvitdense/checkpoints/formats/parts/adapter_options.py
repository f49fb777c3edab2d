"""Options of `ViTCoMer` and `ViTAdapter` that names and shapes of official checkpoints imply."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

_POINTS = (4, 8, 2, 16, 1, 6, 3, 5, 12)
"""Sampling points in the order in which they are likely: those of every released model first."""
_OWN = ('n_points', 'deform_num_heads', 'interaction_indexes', 'vit_feature', 'out_vit_map', 'pos_img_size')
"""What the weights of an adapter do not determine, and its user may give; other names are of the ViT inside."""

_STAGE = re.compile(r'^interactions\.(\d+)\.')


def split_given(given: dict[str, Any], names: tuple[str, ...] = _OWN) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the user gives for the ViT inside, under 'vit' or bare, and for the model, whose options are `names`."""
    own = {name: value for name, value in given.items() if name in names}
    bare = {name: value for name, value in given.items() if name not in (*names, 'vit')}
    return {**bare, **given.get('vit', {})}, own


def shared_options(
    weights: dict[str, Tensor], num_layers: int, attention: str, num_levels: int, given: dict[str, Any]
) -> dict[str, Any]:
    """The options that both models have, and those that are given.

    Args:
        weights: What surrounds the ViT, in this project's names.
        num_layers: Blocks of the ViT.
        attention: End of the name of a deformable attention, such as 'extractor.attn'.
        num_levels: Maps that it samples.
        given: Options of the adapter that the user gives; they win.

    Raises:
        CheckpointError: The points or heads that are given do not go into the weights.
    """
    dims = weights['level_embed'].shape[1]
    options: dict[str, Any] = {'conv_inplane': len(weights['spm.stem.0.weight'])}
    stages = num_stages(weights)
    if stages != 4 or num_layers % stages:
        stops = [-(-num_layers * (index + 1) // stages) for index in range(stages)]
        options['interaction_indexes'] = [[start, stop - 1] for start, stop in zip([0, *stops], stops)]
    attention_rows = _rows(weights, f'{attention}.attention_weights.weight')
    value_channels = _rows(weights, f'{attention}.value_proj.weight')
    if attention_rows is not None and value_channels is not None:
        options['deform_ratio'] = ratio(value_channels, dims)
        options.update(_heads_and_points(attention_rows // num_levels, value_channels, given))
    hidden = [len(weight) for name, weight in weights.items() if name.endswith('.ffn.fc1.weight')]
    options['cffn_ratio'] = ratio(hidden[0], dims) if hidden else None
    return {**options, **given}


def _rows(weights: dict[str, Tensor], end: str) -> int | None:
    return next((len(weight) for name, weight in weights.items() if name.endswith(end)), None)


def _heads_and_points(product: int, value_channels: int, given: dict[str, Any]) -> dict[str, int]:
    """Heads and sampling points, of which the weights have the product alone; heads divide the channels too."""
    likely = (*_POINTS, *range(1, product + 1))
    for points in likely:
        heads = product // points
        fits = points * heads == product and value_channels % heads == 0
        if fits and given.get('n_points', points) == points and given.get('deform_num_heads', heads) == heads:
            return {'n_points': points, 'deform_num_heads': heads}
    known = ', '.join(f'{name}={given[name]}' for name in ('n_points', 'deform_num_heads') if name in given)
    raise CheckpointError(
        f'the weights have {product} sampling points in all heads together, of {value_channels} channels, which '
        f'{known or "no number of heads"} does not divide: give n_points or deform_num_heads as it was trained'
    )


def num_stages(weights: dict[str, Tensor]) -> int:
    """Number of interactions."""
    return 1 + max((int(match[1]) for name in weights if (match := _STAGE.match(name))), default=-1)


def num_extra(weights: dict[str, Tensor], part: str) -> int:
    """How many modules the list `part`, such as 'extra_CTIs', has."""
    pattern = re.compile(rf'^interactions\.\d+\.{part}\.(\d+)\.')
    return 1 + max((int(match[1]) for name in weights if (match := pattern.match(name))), default=-1)


def ratio(hidden: int, dims: int) -> float:
    """The share from which `int(dims * share)` is `hidden`."""
    share = hidden / dims
    return share if int(dims * share) == hidden else (hidden + 0.5) / dims


def shared_guesses(options: dict[str, Any]) -> dict[str, str]:
    """{path of an option that the weights do not determine: why, and what it may be}."""
    vit, guesses = options['vit'], {}
    if 'n_points' in options:
        product = options['n_points'] * options['deform_num_heads']
        guesses['n_points'] = (
            f'the weights have its product with deform_num_heads alone, {product}; all released models have 4'
        )
    guesses['vit_feature'] = "'last' in the detection code of both models, 'stagewise' in the segmentation code"
    if vit.get('rel_pos') is None:
        guesses['vit.window_size'] = 'models of the detection code have mostly 14, those of the segmentation code none'
    stages = len(options['interaction_indexes']) if 'interaction_indexes' in options else 4
    guesses['interaction_indexes'] = f'{stages} stages of a like number of the {vit["num_layers"]} blocks'
    return guesses
