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
        model: The ``PlainViT`` that the weights are for.

    Returns:
        Lines such as 'norm_eps is 1e-06, the weights come with 1e-05'.

    Raises:
        CheckpointError: The weights need rotary positions that the model has not.
    """
    if not hasattr(form, 'options'):
        return []
    skeleton = {n: t if t.numel() <= _SMALL else t.to('meta') for n, t in state_dict.items()}
    try:
        options = form.options(skeleton)
    except CheckpointError:  # a width that nobody published
        options = form.options(skeleton, num_heads=model.num_heads)
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
        f'{name} is {mine[name]!r}, the weights come with {theirs[name]!r}'
        for name in mine
        if mine[name] != theirs[name]
    ]


def _options_of(model: nn.Module) -> dict[str, Any]:
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    bias = False if attn.qkv.bias is None else 'qv' if attn.qkv.without_key_bias else True
    return {
        'num_heads': model.num_heads,
        'norm_eps': model.blocks[0].norm1.eps,
        'qkv_bias': bias,
        'act': getattr(mlp, 'act_name', None),
        'pos_resize': None if model.pos_embed is None else _rule(model.pos_resize),
    }


def _expected(options: dict[str, Any]) -> dict[str, Any]:
    return {
        'num_heads': options['num_heads'],
        'norm_eps': options.get('norm_eps', 1e-6),
        'qkv_bias': options.get('qkv_bias', True),
        'act': options.get('act', 'gelu') if options.get('ffn', 'mlp') == 'mlp' else None,
        'pos_resize': None if options.get('pos_embed', 'absolute') is None else _rule(options.get('pos_resize') or {}),
    }


def _rule(pos_resize: dict[str, Any]) -> str:
    """One spelling for rules that compute the same."""
    by = pos_resize.get('by', 'size')
    offset = f' with offset {pos_resize.get("offset", 0.1)}' if by == 'scale' else ''
    return f'by {by}{offset}{", antialias" if pos_resize.get("antialias") else ""}'
