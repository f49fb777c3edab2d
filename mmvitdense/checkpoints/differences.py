"""What a model computes otherwise than the pre-training of its weights, although every tensor fits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from .describe import VIT, describe
from .reading import CheckpointError


def differences(form: ModuleType, state_dict: dict[str, Tensor], model: nn.Module) -> list[str]:
    """Compare a model with the options that a format reads off its weights, where names and shapes do not show them.

    Args:
        form: Format of the checkpoint, see ``detect``.
        state_dict: The checkpoint, not converted.
        model: The ``PlainViT`` that the weights are for, or the model that holds it.

    Returns:
        Lines such as 'norm_eps is 1e-06, the weights come with 1e-05'.

    Raises:
        CheckpointError: The weights need rotary positions that the model has not.
    """
    if not hasattr(form, 'options'):
        return []
    model = getattr(model, 'vit', model)
    try:
        described = describe(form, state_dict)
    except CheckpointError:  # a width that nobody published
        described = describe(form, state_dict, {'num_heads': model.num_heads})
    options = described.options.get('vit', described.options)
    guessed = {path.removeprefix(VIT) for path in described.guesses}
    rope = (options.get('rope') or {}).get('kind')
    mine = {'rope': getattr(model.rope, 'kind', None), **_options_of(model)}
    if rope and rope != mine['rope']:
        raise CheckpointError(
            f"the weights ({form.NAME}) were trained with rope=dict(kind='{rope}'), the model has "
            f'{mine["rope"] or "none"}: every tensor would fit and the outputs mean nothing. Give the model the rope '
            'or the preset of the weights'
        )
    theirs = {'rope': rope, **_expected(options)}
    notes = []
    for key, value in theirs.items():
        # Of what is guessed the heads alone are worth a word: all else is as likely as the model's.
        if mine[key] != value and (key not in guessed or key == 'num_heads'):
            doubt = ' (a guess)' if key in guessed else ''
            notes.append(f'{key} is {mine[key]!r}, the weights come with {value!r}{doubt}')
    return notes


def _options_of(model: nn.Module) -> dict[str, Any]:
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    bias = False if attn.qkv.bias is None else 'qv' if attn.qkv.without_key_bias else True
    return {
        'num_heads': model.num_heads,
        'norm_eps': model.blocks[0].norm1.eps,
        'qkv_bias': bias,
        'act': getattr(mlp, 'act_name', None),
        'pos_resize': _rule(model.pos_resize),
    }


def _expected(options: dict[str, Any]) -> dict[str, Any]:
    expected = {
        'num_heads': options['num_heads'],
        'norm_eps': options.get('norm_eps', 1e-6),
        'qkv_bias': options.get('qkv_bias', True),
    }
    # A format that says nothing of these holds weights of several kinds.
    if 'act' in options:
        expected['act'] = options['act']
    if 'pos_resize' in options:
        expected['pos_resize'] = _rule(options['pos_resize'])
    return expected


def _rule(pos_resize: dict[str, Any]) -> str:
    """One spelling for rules that compute the same."""
    by = pos_resize.get('by', 'size')
    offset = f' with offset {pos_resize.get("offset", 0.1)}' if by == 'scale' else ''
    mode = f', {pos_resize["mode"]}' if pos_resize.get('mode', 'bicubic') != 'bicubic' else ''
    return f'by {by}{offset}{mode}{", antialias" if pos_resize.get("antialias") else ""}'
