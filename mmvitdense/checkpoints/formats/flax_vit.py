"""ViTs of Google as Flax writes them (`.npz`): AugReg of vision_transformer, and big_vision with SigLIP and SigLIP 2.

Both have the same modules, which vision_transformer counts through ('MlpBlock_3') and big_vision by kind
('MlpBlock_0'). big_vision may keep all blocks in one array each, with the block as the first axis. Kernels of linear
layers are input x output. The plain ViTs that big_vision trains on ImageNet have no table of
positions: they are computed.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .contract import Format
from .parts.linear_patches import kernel_of_linear
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
    """Whether there is one patch embedding with a transformer beside it, in names with slashes.

    It has four axes, or two for patches in rows (NaFlex), beside a table of positions of three.
    """
    body = _body_of(state_dict)
    if body is None or not any(_BLOCK.match(name) for name in body):
        return False
    return body['embedding/kernel'].ndim == 4 or _is_naflex(body)


def _is_naflex(body: dict[str, Tensor]) -> bool:
    table = body.get('pos_embedding')
    return body['embedding/kernel'].ndim == 2 and table is not None and table.ndim == 3 and len(table) == table.shape[1]


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and turn to the layout of `PlainViT`; heads keep their names."""
    weights, body = {}, _body_of(state_dict)
    for name, value in body.items():
        match = _BLOCK.match(name)
        if match is None:
            weights[_TOP.get(name, name)] = value
        elif match[1] is None:
            weights.update((f'blocks.{i}.{_part(match[2])}', _turn(_part(match[2]), v)) for i, v in enumerate(value))
        else:
            weights[f'blocks.{match[1]}.{_part(match[2])}'] = _turn(_part(match[2]), value)
    kernel = weights['patch_embed.proj.weight']
    if _is_naflex(body):
        weights['patch_embed.proj.weight'] = kernel_of_linear(kernel.T)
        weights['pos_embed'] = weights['pos_embed'].flatten(0, 1)
    else:
        weights['patch_embed.proj.weight'] = kernel.permute(3, 2, 0, 1)
    if 'pos_embed' in weights and weights['pos_embed'].ndim == 2:
        weights['pos_embed'] = weights['pos_embed'][None]
    return stack(weights, QKV, 'attn.qkv')


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """AugReg; SigLIP and SigLIP 2, which have no class token; big_vision's plain ViTs, which have no positions."""
    body = _body_of(state_dict)
    if 'cls' in body:
        return ('augreg',)
    if _is_naflex(body):
        return ('siglip2-naflex',)
    return ('siglip', 'siglip2') if _has_positions(body) else ('big-vision',)


def _has_positions(body: dict[str, Tensor]) -> bool:
    return any(_TOP.get(name) == 'pos_embed' for name in body)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The heads, an axis of the weights, and positions that are computed."""
    body = _body_of(state_dict)
    query = next(v for n, v in body.items() if n.endswith('/query/kernel') and 'encoderblock' in n)
    return {'num_heads': query.shape[-2], **({} if _has_positions(body) else {'pos_embed': 'sincos_bv'})}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The resizing of positions."""
    body = _body_of(state_dict)
    if _is_naflex(body) or not _has_positions(body):
        return {}
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
