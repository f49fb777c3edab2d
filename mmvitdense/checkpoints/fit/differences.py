"""What a model computes otherwise than the pre-training of its weights, although every tensor fits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.checkpoints.formats.describe import VIT, Description, describe
from mmvitdense.layers import held_vit
from mmvitdense.layers.positions.rotary import KINDS

from .grids import recorded_rope

ALLOWED = ('preset', 'rope', 'num_heads', 'pos_resize', 'pos_embed')
"""What a model may have otherwise than its weights where the `init_cfg` allows it."""

# Tables of rotary positions, and kernels with an axis of heads, in names of the files.
_TELLS_HEADS = re.compile(r'(^|\.)(rope_embed\.periods|rope\.freqs_cos)$|/query/kernel$')


def differences(
    form: Format, state_dict: Mapping[str, Tensor], model: nn.Module, allowed: Collection[str] = ()
) -> list[str]:
    """Compare a model with the options that a format reads off its weights, where names and shapes do not show them.

    Args:
        form: Format of the checkpoint, see `detect`.
        state_dict: The checkpoint, not converted.
        model: The `PlainViT` that the weights are for, or the model that holds it.
        allowed: Of `ALLOWED`, what is reported instead of refused; of positions resized otherwise, nothing is.

    Returns:
        Lines such as 'norm_eps is 1e-06, the weights come with 1e-05', of what the format knows of its family or
        guesses.

    Raises:
        CheckpointError: The weights have other rotary positions, or show another number of heads.
    """
    if not form.tells_options or form.trunk(state_dict) == 'missing':
        return []
    model = held_vit(model)
    described = description_for(form, state_dict, model)
    options = options_of_vit(described)
    guessed = {path.removeprefix(VIT) for path in described.guesses}
    rope = recorded_rope(state_dict, _rope(**(options.get('rope') or {})))
    # A record has the kind alone.
    own_rope = getattr(model.rope, 'kind', None) if rope in KINDS else _rope_of_model(model)
    mine = {'rope': own_rope, **_options_of(model)}
    theirs = {'rope': rope, **_expected(options)}
    certain = {'rope'} | ({'pos_embed'} - guessed)
    certain |= {'num_heads'} if any(_TELLS_HEADS.search(name) for name in state_dict) else set()
    differing = [key for key in theirs if mine[key] != theirs[key]]
    if wrong := [key for key in differing if key in certain and key not in allowed]:
        trained = ' and '.join(f'{key} {theirs[key]!r}, the model has {mine[key]!r}' for key in wrong)
        raise CheckpointError(
            f'the weights ({form.name}) were trained with {trained}: every tensor would fit, and the outputs would be '
            'wrong. Give the model the option or the preset of the weights, or, if this is meant, '
            f'init_cfg=dict(..., allow={wrong})'
        )
    # Of what is guessed the heads alone are worth a word: all else is as likely as the model's.
    return [
        f'{key} is {mine[key]!r}, the weights come with {theirs[key]!r}{" (a guess)" if key in guessed else ""}'
        for key in differing
        if (key not in guessed or key == 'num_heads') and not (key == 'pos_resize' and key in allowed)
    ]


def description_for(form: Format, state_dict: Mapping[str, Tensor], model: nn.Module) -> Description:
    """What the format reads off the weights of a `PlainViT`, or of a model that holds one."""
    try:
        return describe(form, state_dict)
    except CheckpointError:  # a width that nobody published, or a table that is no square
        sides = tuple(side * model.patch_size for side in model.pos_grid)
        return describe(form, state_dict, {'num_heads': model.num_heads, 'pretrain_img_size': sides})


def options_of_vit(described: Description) -> dict[str, Any]:
    """The options that are of the `PlainViT`."""
    return described.options.get('vit', described.options)


def rope_of(options: Mapping[str, Any]) -> str | None:
    """Kind of rotary positions in options of `PlainViT`."""
    return (options.get('rope') or {}).get('kind')


def _rope(kind: str | None = None, offset: int = 0, pretrain_grid: int | None = None, **_: Any) -> str | None:
    """One spelling for rotary positions that every tensor fits, and that compute something else."""
    if kind != 'axial':
        return kind
    return f'axial from {offset}{f" spanning {pretrain_grid}" if pretrain_grid else ""}'


def _rope_of_model(model: nn.Module) -> str | None:
    rope = model.rope
    if getattr(rope, 'kind', None) != 'axial':
        return getattr(rope, 'kind', None)
    return _rope('axial', rope.offset, rope.pretrain_grid)


def _options_of(model: nn.Module) -> dict[str, Any]:
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    bias = False if attn.qkv.bias is None else 'qv' if attn.without_key_bias else True
    return {
        'num_heads': model.num_heads,
        'norm_eps': model.blocks[0].norm1.eps,
        'qkv_bias': bias,
        'act': getattr(mlp, 'act_name', None),
        'pos_embed': None if model.sincos is None else model.sincos.kind,
        'pos_resize': _rule(model.pos_resize),
    }


def _expected(options: dict[str, Any]) -> dict[str, Any]:
    expected = {
        'num_heads': options['num_heads'],
        'norm_eps': options.get('norm_eps', 1e-6),
    }
    if bias := options.get('qkv_bias', True):  # without any, those of the model stay zero
        expected['qkv_bias'] = bias
    # A format that says nothing of these holds weights of several kinds.
    if str(options.get('pos_embed')).startswith('sincos'):  # there is no weight for them to be missed
        expected['pos_embed'] = options['pos_embed']
    if 'act' in options:
        expected['act'] = options['act']
    if 'pos_resize' in options:
        expected['pos_resize'] = _rule(options['pos_resize'] or {})
    return expected


def _rule(pos_resize: dict[str, Any]) -> str:
    """One spelling for rules that compute the same."""
    by = pos_resize.get('by', 'size')
    offset = f' with offset {pos_resize.get("offset", 0.1)}' if by == 'scale' else ''
    mode = f', {pos_resize["mode"]}' if pos_resize.get('mode', 'bicubic') != 'bicubic' else ''
    flags = ''.join(f', {name}' for name in ('antialias', 'align_corners', 'square') if pos_resize.get(name))
    return f'by {by}{offset}{mode}{flags}'
