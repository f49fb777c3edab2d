"""What a recipe changes for small data besides its schedule: what is learnt, kept and when it ends."""

from __future__ import annotations

import copy
from typing import Any

from .counters import is_kind
from .given import Given
from .trunk import Trunk

SMALL = 2000
"""Training images up to which data is small."""
_VERY_SMALL = 50
_DECAY = 0.8
_PATIENCE = 5
_PART_OF_AVERAGE = 0.1
"""Part of a run that the average of the weights goes back over."""


def trained_parts(cfg: Any, images: int, trunk: Trunk | None) -> tuple[dict[str, Any], list[str]]:
    """Options of a pre-trained trunk: frozen for very small data, with a layer decay for small data.

    Returns:
        The options, and a sentence for each.
    """
    if trunk is None or not trunk.pretrained or images > SMALL:
        return {}, []
    if images < _VERY_SMALL and 'frozen_stages' in trunk.takes and not trunk.frozen:
        return {f'{trunk.key}.frozen_stages': 'all'}, [
            f'the ViT is frozen: {images} images are too few to tune what it has learnt.'
        ]
    wrapper = cfg.optim_wrapper
    plain = wrapper.get('constructor') in (None, 'DefaultOptimWrapperConstructor')
    normed = 'Adam' in str((wrapper.get('optimizer') or {}).get('type'))
    if not (plain and normed and trunk.has_depths) or trunk.frozen or _has_own_rate(wrapper):
        return {}, []
    return {
        'optim_wrapper.constructor': 'mmvitdense.LayerDecayOptimWrapperConstructor',
        'optim_wrapper.paramwise_cfg.layer_decay_rate': _DECAY,
    }, [f'layer decay {_DECAY}, so that the ViT keeps what it has learnt.']


def kept_parts(
    cfg: Any, images: int, main: tuple[str, float] | None, length: int, validations: int, given: Given
) -> tuple[dict[str, Any], list[str]]:
    """Options of averaged weights, of the best checkpoint and of an early end, for small data.

    Args:
        cfg: The config, with its schedule.
        images: Number of training images.
        main: The result that counts, see `main_result`.
        length: Iterations of the run.
        validations: How many there are.
        given: What a person gave, which stays.

    Returns:
        The options, and a sentence for each.
    """
    if images > SMALL:
        return {}, []
    options: dict[str, Any] = {}
    hooks, added = [copy.deepcopy(dict(hook)) for hook in cfg.get('custom_hooks') or []], []
    may_add = 'custom_hooks' not in given
    if length >= 100 and may_add and not any(is_kind(hook, 'EMAHook') for hook in hooks):
        momentum = round(min(0.1, 1 / (_PART_OF_AVERAGE * length)), 6)
        hooks.append({'type': 'EMAHook', 'momentum': momentum})
        added.append(f'averaged weights (EMA, momentum {momentum:g})')
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if main is not None and validations > 1:
        if not checkpoint.get('save_best') and 'default_hooks.checkpoint.save_best' not in given:
            options |= {'default_hooks.checkpoint.save_best': main[0], 'default_hooks.checkpoint.rule': 'greater'}
            added.append('the best checkpoint')
        stops = any(is_kind(hook, name) for hook in hooks for name in ('EarlyStoppingHook', _STOPPING))
        if validations > _PATIENCE and may_add and not stops:
            least = {'min_delta': 0.001 * main[1], 'patience': _PATIENCE, 'rule': 'greater'}
            hooks.append({'type': f'mmvitdense.{_STOPPING}', 'monitor': main[0], **least})
            added.append('an early end')
    if len(hooks) != len(cfg.get('custom_hooks') or []):
        options['custom_hooks'] = hooks
    return options, [f'for small data: {", ".join(added)}.'] if added else []


_STOPPING = 'ResumableEarlyStoppingHook'


def _has_own_rate(wrapper: Any) -> bool:
    """Whether a part of the model that a name says has a rate of its own."""
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    return any('lr_mult' in (options or {}) for options in keys.values())
