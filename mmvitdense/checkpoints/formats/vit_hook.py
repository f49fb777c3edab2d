"""ViT-Hook of the official code (class `ViTHook`, detection and segmentation), alone or whole.

No trained weights are released; the names are those of the code."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError

from .contract import Format
from .parts.adapter_options import shared_options, split_given
from .parts.adapter_trunk import convert_adapter, find_official, surroundings, trunk_options
from .parts.renaming import rename

_HOOK = re.compile(r'^hooks\.(\d+)\.')
_EXTRA = re.compile(r'^hooks\.\d+\.extra_cross_attn\.(\d+)\.')
_RULES = (
    (r'^outlayer([1-4])\.', r'norm\1.'),
    (r'^(hooks\.\d+)\.cross_attn\.', r'\1.extractors.0.'),
    (r'\.msmlp(_norm)?\.', r'.ffn\1.'),
    (r'\.attn\.Wqkv\.', '.attn.qkv.'),
    (r'\.attn\.Wq\.', '.attn.q.'),
    (r'\.attn\.Wkv\.', '.attn.kv.'),
    (r'\.attn\.out_proj\.', '.attn.proj.'),
    (r'^hooks\.', 'interactions.0.hooks.'),
)
_TABLE = 'level_pos_embed'


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there are hooks beside the stem of an adapter."""
    adapter = find_official(state_dict)
    return adapter is not None and any(_HOOK.match(name) for name in adapter.backbone)


def _around(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """What surrounds the ViT, in this project's names."""
    weights = {}
    for name, tensor in surroundings(find_official(state_dict)).items():
        if extra := _EXTRA.match(name):
            name = name.replace(f'.extra_cross_attn.{extra[1]}.', f'.extractors.{int(extra[1]) + 1}.')
        weights[name] = tensor
    return rename(weights, _RULES)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to `ViTHook`, under 'backbone.' with the heads of mmdet 3 or mmsegmentation 1 for a whole model."""
    return convert_adapter(find_official(state_dict), _around(state_dict))


def options(state_dict: dict[str, Tensor], **given: Any) -> dict[str, Any]:
    """Options of `ViTHook`; `given` ones win, of the hooks or of the ViT inside, see `split_given`.

    Raises:
        CheckpointError: The table of positions is of no square grid, and `pos_img_size` is not given.
    """
    of_vit, own = split_given(given)
    vit, weights = trunk_options(find_official(state_dict), of_vit), _around(state_dict)
    vit.setdefault('pos_resize', {'antialias': True})
    attentions = {
        'self_attention': _kind(weights, '.self_attn.attn.', full='qkv.weight'),
        'cross_attention': _kind(weights, '.extractors.0.attn.', full='q.weight'),
    }
    deformable = ('extractors.0.attn', 1) if attentions['cross_attention'] == 'deformable' else ('self_attn.attn', 3)
    known = shared_options(weights, vit['num_layers'], *deformable, own)
    known.pop('interaction_indexes', None)
    if 'deform_num_heads' not in known:
        known['deform_num_heads'] = vit['num_heads']
    if _TABLE in weights and 'pos_img_size' not in known:
        known['pos_img_size'] = _side(len(weights[_TABLE][0])) * vit.get('patch_size', 16)
    found = [int(match[1]) for name in surroundings(find_official(state_dict)) if (match := _EXTRA.match(name))]
    hooks = {int(match[1]) for name in surroundings(find_official(state_dict)) if (match := _HOOK.match(name))}
    extra = {'num_hooks': len(hooks), 'num_extra_cross_attentions': max(found, default=-1) + 1}
    return {'vit': vit, **attentions, **extra, **known}


def _kind(weights: dict[str, Tensor], part: str, full: str) -> str | None:
    ends = {name.partition(part)[2] for name in weights if part in name}
    return None if not ends else 'full' if full in ends else 'deformable'


def _side(rows: int) -> int:
    side = math.isqrt(rows)
    if side * side != rows:
        raise CheckpointError(
            f'{_TABLE} has {rows} rows, which are no square grid: give pos_img_size as (height, width) in pixels'
        )
    return side


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """{path of an option that the weights do not tell: why, and what it may be}."""
    guesses = {'vit.window_size': 'models of the detection code have 14 in two of three blocks or none, others none'}
    guesses['deform_num_heads'] = (
        'full attentions do not tell their heads, the official configs have those of the ViT'
        if 'n_points' not in options
        else 'the weights have its product with n_points alone; all official configs have 4 points'
    )
    if 'pos_img_size' in options:
        guesses['pos_img_size'] = 'the table has as many rows as a square has'
    return guesses


FORMAT = Format(
    name='ViT-Hook',
    about=__doc__,
    matches=matches,
    convert=convert,
    model='ViTHook',
    own_options=options,
    cannot_tell=cannot_tell,
)
