"""What a model computes otherwise than the pre-training of its weights, although every tensor fits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from torch import Tensor, nn

from .reading import CheckpointError

# Values are read of small tensors alone: tables, periods, masks.
_SMALL = 1 << 20


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
    skeleton = {n: t if t.numel() <= _SMALL else t.to('meta') for n, t in state_dict.items()}
    try:
        options = form.options(skeleton)
    except CheckpointError:  # a width that nobody published
        options = form.options(skeleton, num_heads=model.num_heads)
    options = options.get('vit', options)
    rope = (options.get('rope') or {}).get('kind')
    mine = {'rope': getattr(model.rope, 'kind', None), **_options_of(model)}
    if rope and rope != mine['rope']:
        raise CheckpointError(
            f"the weights ({form.NAME}) were trained with rope=dict(kind='{rope}'), the model has "
            f'{mine["rope"] or "none"}: every tensor would fit and the outputs mean nothing. Give the model the rope '
            'or the preset of the weights'
        )
    theirs = {'rope': rope, **_expected(options)}
    return [
        f'{key} is {mine[key]!r}, the weights come with {theirs[key]!r}' for key in theirs if mine[key] != theirs[key]
    ]


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
