"""Plain ViTs in timm's layout: MAE, DeiT, DeiT III, AugReg, DINO, iBOT, MoCo v3 and timm's own.

`PlainViT` uses the same names, so that only prefixes and spellings of LayerScale change. The distillation token of
DeiT becomes a register with the position it has, which computes the same. MoCo v3 keeps a momentum encoder beside the
base encoder; the base encoder is taken.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from mmvitdense.layers.positions.table_rows import square_side
from mmvitdense.pretrainings import ARCHITECTURES

from . import radio, tips
from .contract import Format
from .dinov2 import is_dinov2
from .parts.families import PLAIN, has_size_of_mae_lite, mae_families, plain_families
from .parts.perception import has_timm_signs
from .parts.sines import sines_of
from .parts.timm_names import block_names, body_of, convert_body

_BLOCK = re.compile(r'(norm[12]|attn\.(qkv|proj)|mlp\.fc[12])\.\w+|gamma_[12]|ls[12]\.gamma')
# Signs of families that have the same blocks and something else before them: registers of official code, other
# positions, a convolutional stem.
_FOREIGN = re.compile(
    r'^(register_token|storage_tokens|ln_pre|rope|rel_pos_bias|shared_rel_pos|pos_embed_|patch_embed\.(?!proj\.))|(^|\.)periods$'
)


def matches(state_dict: dict[str, Tensor]) -> bool:
    """Whether this is a ViT of timm's layout with a table of positions and nothing that this format does not know."""
    body = body_of(state_dict)
    if body is None or 'pos_embed' not in body or body['pos_embed'].ndim != 3:
        return False
    if (
        is_dinov2(body)
        or tips.matches(state_dict)
        or has_timm_signs(body)
        or any(_FOREIGN.search(name) for name in body)
    ):
        return False
    if 'blocks.0.mlp.fc1.weight' in body and _is_packed(body):
        return False
    names = block_names(body)
    return 'norm1.bias' in names and all(_BLOCK.fullmatch(name) for name in names)


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the layout of `PlainViT`; heads and decoders keep their names."""
    return _without_rows_of_registers(convert_body(body_of(state_dict)))


def _without_rows_of_registers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the positions that some ViTs of timm's own have for registers to these, which computes the same."""
    if 'register_tokens' not in weights:
        return weights
    table, registers, first = weights['pos_embed'], weights['register_tokens'], int('cls_token' in weights)
    last = first + registers.shape[1]
    rows = table.shape[1]
    if square_side(rows) or (first and square_side(rows - first)) or not square_side(rows - last):
        return weights
    rest = torch.cat([table[:, :first], table[:, last:]], dim=1)
    return {**weights, 'register_tokens': registers + table[:, first:last].to(registers.device), 'pos_embed': rest}


def families(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """What names and the table of positions leave; none for InternViT and others of timm's own."""
    body, weights = body_of(state_dict), convert(state_dict)
    if 'norm_pre.weight' in weights:
        return 'openclip', 'datacomp', 'clip'
    if _is_radio(body):
        return radio.families_of(weights)
    if 'reg_token' in body:
        return ()
    if 'cls_token' not in weights:
        return ('siglip', 'siglip2') if _may_be_siglip(weights) else ()
    if 'blocks.0.ls1.gamma' in weights:
        without_cls_row = square_side(weights['pos_embed'].shape[1]) is not None
        return ('deit3',) if without_cls_row and 'norm.weight' in weights else ()
    if 'masked_embed' in body:
        return ('ibot',)
    if 'decoder_embed.weight' in body:
        return mae_families(weights)
    if has_size_of_mae_lite(body) and 'fc_norm.weight' in body:  # MAE fine-tuned: the mean of the patches is normed
        return ('mae-lite', 'deit')
    return plain_families(weights)


def implied(state_dict: dict[str, Tensor]) -> dict[str, Any]:
    """The rule of timm for ViTs of its own."""
    body = body_of(state_dict)
    return {'pos_resize': {'antialias': True}} if 'reg_token' in body and not _is_radio(body) else {}


def cannot_tell(state_dict: dict[str, Tensor], options: dict[str, Any]) -> dict[str, str]:
    """The resizing of positions of no known family, and what ViTs of timm under the same names have otherwise."""
    body, weights = body_of(state_dict), convert(state_dict)
    found = {}
    if _is_radio(body):
        found.update(radio.unsure_of_corners(weights))
    elif not families(state_dict):
        found['pos_resize'] = 'of no known family; most ViTs of timm have dict(antialias=True)'
    elif 'cls_token' not in weights:
        found['act'] = "that of SigLIP; timm has the exact 'gelu' for ViTs of its own and some sizes of SigLIP"
        if len(weights['patch_embed.proj.weight']) == ARCHITECTURES['base'][0] and 'attn_pool.latent' not in weights:
            found['num_heads'] = 'that of SigLIP; vit_base_patch16_gap_224 of timm has 16'
    side = square_side(weights['pos_embed'].shape[1])
    if side and set(families(state_dict)) & {*PLAIN}:
        found['pretrain_img_size'] = (
            f'{side} x {side} patches without a position of the class token, as FlexiViT has them, are as many as '
            f'{side - 1} x {side + 1} with one'
        )
    if 'gamma_1' in block_names(body):
        found['rope'] = 'DeiT III has none; vit_*_rope_ape of timm has the same names and rotary positions'
    return found


def notes(state_dict: dict[str, Tensor]) -> tuple[str, ...]:
    """What timm has left out of RADIO, and its own ViTs whose norms are in another place."""
    body = body_of(state_dict)
    if not {'cls_token', 'reg_token', 'blocks.0.attn.qkv.bias'} & body.keys():
        return (
            'vit_*_rpn_* of timm, which have the norms of a block behind its attention and its feed-forward network, '
            'have the same names: PlainViT, whose norms come before these, computes something else with their weights',
        )
    if not _is_radio(body):
        return ()
    return (
        'timm has resized the positions of RADIO to one size of images, from which those of others are not exact: '
        'take the file of NVIDIA, or that of naflexvit_*_radio_*, for other sizes',
    )


def _may_be_siglip(weights: dict[str, Tensor]) -> bool:
    """Of those without a class token: I-JEPA has sines, timm's own have LayerScale, or no bias of query and key."""
    if 'blocks.0.attn.qkv.bias' not in weights or 'blocks.0.ls1.gamma' in weights:
        return False
    return sines_of(weights['pos_embed']) is None


def _is_radio(body: dict[str, Tensor]) -> bool:
    """Whether there are the tokens of RADIO and no last norm."""
    if not {'cls_token', 'reg_token'} <= body.keys() or {'norm.weight', 'fc_norm.weight'} & body.keys():
        return False
    return 1 + body['reg_token'].shape[1] in radio.VERSIONS


def _is_packed(body: dict[str, Tensor]) -> bool:
    first, second = (body[f'blocks.0.mlp.fc{i}.weight'] for i in (1, 2))
    return first.ndim == 2 and first.shape[0] == 2 * second.shape[1]


FORMAT = Format(
    name='timm ViT',
    about=__doc__,
    matches=matches,
    convert=convert,
    families=families,
    implied=implied,
    cannot_tell=cannot_tell,
    notes=notes,
)
