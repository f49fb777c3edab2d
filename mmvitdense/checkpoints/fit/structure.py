"""What names and shapes of weights show of the model that they are of, and the preset that contradicts it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.parts.patches import image_channels, patch_sides
from mmvitdense.checkpoints.formats.parts.sines import sines_of
from mmvitdense.layers import held_vit
from mmvitdense.layers.positions.table_rows import square_side
from mmvitdense.pretrainings import PRESETS, family_of

from .differences import description_for, options_of_vit, rope_of
from .grids import recorded_rope
from .name_patterns import matches_any

_BLOCK = re.compile(r'^blocks\.(\d+)\.')
# By which weight a part of the structure is there.
_SIGNS = {
    'cls_token': 'cls_token',
    'registers': 'register_tokens',
    'positions': 'pos_embed',
    'sine_conv': 'sine_conv.conv.weight',
    'value_conv': 'blocks.0.attn.value_conv.weight',
    'pre_norm': 'norm_pre.weight',
    'stem': 'patch_embed.convs.0.conv.weight',
    'patch_bias': 'patch_embed.proj.bias',
    'patch_norm': 'patch_embed.norm.weight',
    'layer_scale': 'blocks.0.ls1.gamma',
    'gated': 'blocks.0.mlp.w3.weight',
    'ffn_norm': 'blocks.0.mlp.norm.weight',
    'attn_inner_norm': 'blocks.0.attn.inner_norm.weight',
    'qkv_bias': 'blocks.0.attn.qkv.bias',
}
# By which weight a part is not there.
_ABSENT = {'rms_norm': 'blocks.0.norm1.bias', 'proj_free_of_bias': 'blocks.0.attn.proj.bias'}
_CALLED = {
    'cls_token': 'a class token',
    'registers': 'registers',
    'positions': 'absolute positions',
    'cls_row': 'a position of the class token',
    'relative': 'relative positions',
    'rope': 'rotary positions',
    'sine_conv': 'convolved sines as positions',
    'value_conv': 'convolutions of the values',
    'pre_norm': 'a norm before the blocks',
    'stem': 'a stem of convolutions',
    'patch_bias': 'a bias of the patch embedding',
    'patch_norm': 'a norm of the patches',
    'rms_norm': 'norms by the root mean square',
    'proj_free_of_bias': 'projections without biases',
    'layer_scale': 'LayerScale',
    'gated': 'gated feed-forward networks',
    'ffn_norm': 'norms in the feed-forward networks',
    'attn_inner_norm': 'norms in the attention',
    'qkv_bias': 'biases of query and value',
}


def structure(weights: Mapping[str, Tensor], rope: str | None) -> dict[str, Any]:
    """Read the structure off converted weights.

    Args:
        weights: Names of `PlainViT`.
        rope: Kind of rotary positions, which the format knows.

    Returns:
        {part: whether it is there, how many there are, or of which kind}, the keys of `presets.structure_of`.
    """
    found: dict[str, Any] = {key: name in weights for key, name in _SIGNS.items()}
    registers = weights['register_tokens'].shape[1] if 'register_tokens' in weights else 0
    biased = any(name.endswith('relative_position_bias_table') for name in weights)
    decomposed = any(name.endswith('attn.rel_pos_h') for name in weights)
    # big_vision's sines are computed at every grid, also where a file holds those of one.
    found['positions'] = found['positions'] and sines_of(weights['pos_embed']) != 'sincos_bv'
    return {
        'embed_dims': weights['patch_embed.proj.weight'].shape[0],
        'num_layers': 1 + max((int(match[1]) for name in weights if (match := _BLOCK.match(name))), default=-1),
        'in_channels': image_channels(weights),
        **found,
        **{key: name not in weights for key, name in _ABSENT.items()},
        'registers': registers,
        'cls_row': _has_cls_row(weights) if found['positions'] and not registers else None,
        'relative': 'bias' if biased else 'decomposed' if decomposed else None,
        'rope': rope,
    }


def _has_cls_row(weights: Mapping[str, Tensor]) -> bool:
    table = weights['pos_embed']
    return table.ndim == 3 and square_side(table.shape[1]) is None


def check_preset(
    form: Format,
    state_dict: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    model: nn.Module,
    meant: Sequence[str] = (),
) -> None:
    """Raise CheckpointError where the weights are not those of the preset of the model, and some other preset fits.

    Where names and shapes do not distinguish families (MAE, DeiT, AugReg, DINO), all of them fit. Nothing is claimed of
    files of this project, of adapters and of MIMDet, whose ViT has been trained further.

    Args:
        form: Format of the weights.
        state_dict: The checkpoint, not converted.
        weights: The converted weights.
        model: The `PlainViT` that will load them, or the model that holds it.
        meant: Patterns (see `name_patterns`) of weights whose absence, in the file or in the model, is asked for.
    """
    vit = held_vit(model)
    preset = getattr(vit, 'preset', None)
    if preset is None or not form.tells_options or form.model != 'PlainViT':
        return
    rope = rope_of(options_of_vit(description_for(form, state_dict, vit)))
    found = structure(weights, recorded_rope(state_dict, rope))
    # Kernels of other channels are refused where they are fitted, unless they are asked for.
    ignored = {'in_channels', *(key for key, name in _SIGNS.items() if matches_any(name, meant))}
    if ignored & {'positions', 'registers'}:
        ignored.add('cls_row')
    families = vit.fitting_presets(found, ignored)
    if family_of(preset) in families:
        _check_patch_size(form, weights, vit, families[family_of(preset)])
    if family_of(preset) in families or not families:
        return
    # Names may distinguish families whose parts are the same.
    families = {name: families[name] for name in form.families(state_dict) if name in families} or families
    fitting = [name for names in families.values() for name in names] or [f'{family}-*' for family in families]
    raise CheckpointError(
        f'the weights ({form.name}) are not those of preset {preset!r}: they have {_listed(found)}. Give the model the '
        f"preset that fits, {' or '.join(fitting)}, or, if this is meant, init_cfg=dict(..., allow=['preset'])"
    )


def _check_patch_size(form: Format, weights: Mapping[str, Tensor], vit: nn.Module, presets: Sequence[str]) -> None:
    """Refuse patches of a size that neither the preset has nor the options of the model, to which they are resized."""
    height, width = patch_sides(weights)
    if height != width or height in (vit.patch_size, PRESETS[vit.preset]['patch_size']):
        return
    known = [name for name in presets if PRESETS[name]['patch_size'] == height]
    advice = f'the preset of the weights, {" or ".join(known)}' if known else f'patch_size={height}'
    raise CheckpointError(
        f'the weights ({form.name}) have patches of {height} x {height} pixels, preset {vit.preset!r} has patches of '
        f'{PRESETS[vit.preset]["patch_size"]}: give the model {advice}, or, if they are to be resized, '
        "init_cfg=dict(..., allow=['preset'])"
    )


def _listed(found: Mapping[str, Any]) -> str:
    """The parts that are there, in words, and that there are no others."""
    parts = []
    for key, name in _CALLED.items():
        if found[key]:
            parts.append(f'{found[key]} {name}' if key in ('registers', 'relative', 'rope') else name)
    return f'{", ".join(parts)} and no other parts'
