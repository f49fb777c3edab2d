"""AIMv2 in its own layout ('trunk.blocks'), also in that of both towers, and in timm's."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvitdense.checkpoints.files.prefix import strip_prefix

from .contract import Format
from .parts.renaming import GATED, rename, stack
from .parts.timm_names import body_of, convert_body

_PATCHES = 'preprocessor.patchifier.proj.weight'
_HEAD_DIMS = 128
_RULES = (
    (r'^preprocessor\.patchifier\.', 'patch_embed.'),
    (r'^preprocessor\.pos_embed$', 'pos_embed'),
    (r'^trunk\.post_trunk_norm\.', 'norm.'),
    (r'^trunk\.blocks\.', 'blocks.'),
    (r'\.norm_([12])\.', r'.norm\1.'),
    (r'\.mlp\.fc1\.', '.mlp.gate.'),
    (r'\.mlp\.fc3\.', '.mlp.value.'),
    (r'\.mlp\.fc2\.', '.mlp.w3.'),
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether networks are gated, and norms without shifts stand in the blocks and after the patches."""
    body = strip_prefix(state_dict, _PATCHES)
    if body is not None:
        return 'trunk.blocks.0.mlp.fc3.weight' in body and 'trunk.blocks.0.norm_1.bias' not in body
    body = body_of(state_dict)
    if body is None or 'blocks.0.mlp.fc1_g.weight' not in body:
        return False
    return 'patch_embed.norm.weight' in body and 'blocks.0.norm1.bias' not in body


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; heads keep their names."""
    body = strip_prefix(state_dict, _PATCHES)
    if body is None:
        return convert_body(body_of(state_dict))
    return stack(rename(body, _RULES), GATED, 'mlp.w12')


def families(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """By converted weights: those for images of any size compute their positions."""
    return ('aimv2',) if 'pos_embed' in weights else ('aimv2-native',)


def implied(weights: dict[str, Tensor]) -> dict[str, Any]:
    """By converted weights: computed positions where there is no table, and the heads, all of one width."""
    heads, rest = divmod(weights['patch_embed.proj.weight'].shape[0], _HEAD_DIMS)
    found = {} if rest else {'num_heads': heads}
    return found if 'pos_embed' in weights else {**found, 'pos_embed': 'sincos_mae'}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The resizing of a table."""
    if options.get('pos_embed', 'absolute') != 'absolute':
        return {}
    return {'pos_resize': "that of timm; AIMv2's own code has images of one size, other than its 'native' weights"}


FORMAT = Format(
    name='AIMv2',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=lambda state_dict: families(convert(state_dict)),
    implied=lambda state_dict: implied(convert(state_dict)),
    cannot_tell=cannot_tell,
)
