"""ViTs of Google as Flax writes them (``.npz``): AugReg of vision_transformer, and big_vision with SigLIP.

Both have the same modules, which vision_transformer counts through ('MlpBlock_3') and big_vision by kind
('MlpBlock_0'). big_vision may keep all blocks in one array each, with the block as the first axis. Kernels of linear
layers are input x output.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .contract import Format
from .parts.renaming import QKV, stack

_ANCHOR = re.compile(r'^(.*/)?embedding/kernel$')
_BLOCK = re.compile(r'^Transformer/encoderblock(?:_(\d+))?/(.+)$')
_TOP = {
    'embedding/kernel': 'patch_embed.proj.weight',
    'embedding/bias': 'patch_embed.proj.bias',
    'cls': 'cls_token',
    'pos_embedding': 'pos_embed',
    'Transformer/posembed_input/pos_embedding': 'pos_embed',
    'Transformer/encoder_norm/scale': 'norm.weight',
    'Transformer/encoder_norm/bias': 'norm.bias',
}
_PARTS = (
    (r'^LayerNorm_0/', 'norm1.'),
    (r'^LayerNorm_[12]/', 'norm2.'),
    (r'^MultiHeadDotProductAttention_[01]/(q)uery/', r'attn.\1.'),
    (r'^MultiHeadDotProductAttention_[01]/(k)ey/', r'attn.\1.'),
    (r'^MultiHeadDotProductAttention_[01]/(v)alue/', r'attn.\1.'),
    (r'^MultiHeadDotProductAttention_[01]/out/', 'attn.proj.'),
    (r'^MlpBlock_[03]/Dense_0/', 'mlp.fc1.'),
    (r'^MlpBlock_[03]/Dense_1/', 'mlp.fc2.'),
    (r'(scale|kernel)$', 'weight'),
)


def _body_of(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    prefixes = {match[1] or '' for name in state_dict if (match := _ANCHOR.match(name))}
    if len(prefixes) != 1:
        return None
    prefix = prefixes.pop()
    return {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether there is one patch embedding of four axes with a transformer beside it, in names with slashes."""
    body = _body_of(state_dict)
    return body is not None and body['embedding/kernel'].ndim == 4 and any(_BLOCK.match(name) for name in body)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and turn to the layout of ``PlainViT``; heads keep their names."""
    weights = {}
    for name, value in _body_of(state_dict).items():
        match = _BLOCK.match(name)
        if match is None:
            weights[_TOP.get(name, name)] = value
        elif match[1] is None:
            weights.update((f'blocks.{i}.{_part(match[2])}', _turn(_part(match[2]), v)) for i, v in enumerate(value))
        else:
            weights[f'blocks.{match[1]}.{_part(match[2])}'] = _turn(_part(match[2]), value)
    weights['patch_embed.proj.weight'] = weights['patch_embed.proj.weight'].permute(3, 2, 0, 1)
    if weights['pos_embed'].ndim == 2:
        weights['pos_embed'] = weights['pos_embed'][None]
    return stack(weights, QKV, 'attn.qkv')


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """AugReg, or SigLIP, which has no class token."""
    return ('augreg',) if 'cls' in _body_of(state_dict) else ('siglip',)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The heads, an axis of the weights."""
    query = next(v for n, v in state_dict.items() if n.endswith('/query/kernel') and 'encoderblock' in n)
    return {'num_heads': query.shape[-2]}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The resizing of positions."""
    return {'pos_resize': 'each code of Google has another function for it; that of timm or transformers is taken'}


def _part(name: str) -> str:
    for pattern, new in _PARTS:
        name = re.sub(pattern, new, name)
    return name


def _turn(part: str, value: Tensor) -> Tensor:
    """Merge the axes of heads and put the output of a layer first."""
    if not part.endswith('weight'):
        return value.flatten()
    if part.startswith('attn.proj.'):
        return value.flatten(0, -2).T
    return value.flatten(1).T if value.ndim > 1 else value


FORMAT = Format(
    name='Flax ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=implied,
    cannot_tell=cannot_tell,
    tells_heads=lambda state_dict: True,
)
