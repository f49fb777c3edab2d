"""PMT: the decoder alone, as published, or with its ViT; official files and those of this project."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.pretrainings import ARCHITECTURES

from .contract import Format, Weights
from .parts.adapter_options import split_given
from .parts.mask_transformer_names import (
    BACKBONE,
    HEAD,
    PROBABILITIES,
    VIT,
    around_trunk,
    convert_trunk,
    head_options,
    is_own,
    own_names,
    vit_options,
    without_network,
)
from .parts.renaming import rename
from .transformers.names import convert_body

_OFFICIAL = ('decoder.q.weight', 'decoder.class_head.weight', 'decoder.blocks.0.norm1.weight', 'decoder.scalers.0')
_OWN = 'laterals.0.gain'
_DECODER = 'decoder.'
_BLOCKS = 'blocks.'
_NAMES = (
    *HEAD,
    (r'^decoder_norm\.', 'norm.'),
    (r'^lateral_projections\.(\d+)\.', r'laterals.\1.projection.'),
    (r'^scalers\.(\d+)$', r'laterals.\1.gain'),
    (r'^bn\.(\d+)\.', r'laterals.\1.norm.'),
)


def matches(state_dict: Weights) -> bool:
    """Whether there is a decoder with queries."""
    names = without_network(state_dict)
    return all(name in names for name in _OFFICIAL) or is_own(state_dict, _OWN)


def convert(state_dict: Weights) -> Weights:
    """Rename to `PMT` under 'backbone.', as detectors and segmentors have it; published files lack 'vit.'."""
    if is_own(state_dict, _OWN):
        return dict(state_dict)
    weights = without_network(state_dict)
    decoder = {name.removeprefix(_DECODER): weight for name, weight in around_trunk(weights).items()}
    blocks = {f'layers.{n.removeprefix(_BLOCKS)}': x for n, x in decoder.items() if n.startswith(_BLOCKS)}
    others = {name: weight for name, weight in decoder.items() if not name.startswith(_BLOCKS)}
    converted = {**convert_trunk(weights), **convert_body(blocks), **rename(others, _NAMES)}
    return {f'{BACKBONE}{name}': weight for name, weight in converted.items()}


def options(state_dict: Weights, **given: Any) -> dict[str, Any]:
    """Options of `PMT`; `given` ones win, others than its own are of its ViT."""
    weights = own_names(convert(state_dict))
    names = ('num_classes', 'num_queries', 'num_blocks', 'tap_indices', 'feedforward_channels', 'norm_cfg')
    of_vit, own = split_given(given, (*names, 'rope_rescale'))
    dims = weights['blocks.0.mlp.fc1.weight'].shape[1]
    vit = vit_options(weights, of_vit) if _has_vit(weights) else _published_vit(dims, of_vit)
    return {
        'vit': vit,
        **head_options(weights),
        'num_blocks': len(weights[PROBABILITIES]),
        'feedforward_channels': len(weights['blocks.0.mlp.fc1.weight']),
        **({} if 'laterals.0.norm.weight' in weights else {'norm_cfg': None}),
        **own,
    }


def cannot_tell(state_dict: Weights, options: dict[str, Any]) -> dict[str, str]:
    """The ViT of a decoder alone, and where its tokens are taken."""
    found = {'tap_indices': 'not in the weights; published models take the last block of each quarter'}
    if not _has_vit(own_names(convert(state_dict))):
        found['vit'] = 'not in the file; the published models of this width are on DINOv3'
    return found


def trunk(state_dict: Weights) -> str | None:
    """Published files have the decoder alone."""
    return None if _has_vit(own_names(convert(state_dict))) else 'missing'


def _has_vit(weights: Weights) -> bool:
    return any(name.startswith(VIT) for name in weights)


def _published_vit(dims: int, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the DINOv3 with tokens of so many channels, of a width that PMT is published on, and what is given.

    Raises:
        CheckpointError: PMT is not published on any such ViT, and the sizes are not given.
    """
    names = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
    for size in ('small', 'base', 'large'):
        if ARCHITECTURES[size][0] == dims:
            return {'preset': f'dinov3-{size}', **dict(zip(names, ARCHITECTURES[size])), **given}
    if not {'num_layers', 'num_heads'} <= given.keys():
        raise CheckpointError(
            f'the file has a decoder for tokens of {dims} channels and no ViT, and PMT is published on none of this '
            'width: give the num_layers and num_heads of its ViT'
        )
    return {'embed_dims': dims, **given}


FORMAT = Format(
    name='PMT',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='PMT',
    own_options=options,
    cannot_tell=cannot_tell,
    trunk=trunk,
)
