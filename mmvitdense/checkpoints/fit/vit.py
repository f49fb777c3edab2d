"""Fitting converted weights to a model: resized tables, and a report of what was loaded and what was not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError

from .channels import fit_channels
from .grids import grids_of_record
from .options import FitOptions
from .patch_size import resize_patch_embedding
from .tables import fit_tables

# What dense prediction adds to a pre-trained ViT. It may be missing as a whole, because at its start (tables of zeros,
# convolution blocks whose last norm is zero, updates of low rank, gains of one) the model computes what it computes
# without it.
# timm's DINOv3 has no biases of queries and values, which is the same as zeros.
_GAINS = r'blocks\.\d+\.ls[12]\.gamma'
_ADDED = tuple(
    re.compile(rf'^{pattern}$')
    for pattern in (
        r'blocks\.\d+\.attn\.rel_pos_[hw]',
        r'(blocks\.\d+\.attn|rel_pos_bias|window_rel_pos_bias\.\d+)\.relative_position_bias_table',
        r'blocks\.\d+\.residual\..+',
        r'.+\.low_rank\..+',
        r'blocks\.\d+\.attn\.qkv\.bias',
        _GAINS,
    )
)
# What ViTDet and others leave out of a pre-trained ViT: class tokens and the norm after the last block. All else that a
# ViT has changes what its blocks compute.
_COMPUTING = re.compile(
    r'^(blocks|norm_pre|rel_pos_bias|window_rel_pos_bias|patch_embed|register_tokens|pos_embed)(\.|$)'
)
_STEM = 'patch_embed.'
# Options of `PlainViT` by the weights that they decide about.
_OPTIONS = (
    (r'ls[12]\.gamma$', 'layer_scale_init, or fold_layer_scale=True in the init_cfg'),
    (r'rel_pos_[hw]$', "rel_pos='decomposed'"),
    (r'relative_position_bias_table$', "rel_pos='bias' or 'bias_shared'"),
    (r'^register_tokens$', 'num_registers'),
    (r'^cls_token$', 'with_cls_token'),
    (r'^norm\.weight$', 'final_norm'),
    (r'^norm_pre\.', 'pre_norm'),
    (r'^pos_embed$', 'pos_embed'),
    (r'^patch_embed\.proj\.bias$', 'patch_bias'),
    (r'^patch_embed\.norm\.weight$', 'patch_norm'),
    (r'^patch_embed\.convs\.', 'stem'),
    (r'\.residual\.', 'conv_blocks'),
    (r'attn\.qkv\.bias$', 'qkv_bias'),
    (r'attn\.proj\.bias$', 'proj_bias'),
    (r'mlp\.(fc[12]|w12|w3)\.bias$', 'ffn_bias'),
    (r'^blocks\.\d+\.norm[12]\.bias$', 'norm'),
    (r'mlp\.norm\.', 'ffn_norm'),
    (r'inner_norm\.', 'attn_inner_norm'),
)


@dataclass
class FitReport:
    """What became of each tensor.

    Attributes:
        loaded: Number of tensors loaded.
        resized: Lines such as 'pos_embed 14x14 -> 64x64'.
        missing: Names of the model that the file has not.
        left_over: Names of the file that the model has not.
    """

    loaded: int = 0
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f'{self.loaded} tensors loaded']
        for title, names in (('resized', self.resized), ('missing', self.missing), ('left over', self.left_over)):
            if names:
                shown = ', '.join(names[:6]) + (f' and {len(names) - 6} more' if len(names) > 6 else '')
                parts.append(f'{len(names)} {title}: {shown}')
        return '; '.join(parts)


def fit_to_vit(
    state_dict: Mapping[str, Tensor], model: nn.Module, how: FitOptions | None = None
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a `PlainViT`.

    The position table is resized to the grid of the model by the model's own rule (`pos_resize`), with or without
    the row of the class token as the model has it (a row that the model has no place for is added to the class token
    if there is one, which computes the same). Tables of decomposed relative positions are resized linearly, tables of
    BEiT's biases by BEiT's rule; a table that the blocks of the file share is copied to each block where those of the
    model have their own. The patch embedding is resized where the model has another patch size.

    Missing may be what dense prediction adds and what starts without an effect: tables of relative positions,
    convolution blocks, LayerScale with gains of one, all biases of query, key and value. Left over may be a class token
    and the last norm, and what is not of the ViT. All else is refused unless `how` asks for it.

    Args:
        state_dict: Names of `PlainViT`.
        model: The model that will load them.
        how: See `FitOptions`; by default nothing is asked for.

    Returns:
        What `model.load_state_dict(..., strict=False)` may load, and the report. Tensors that are not resized are
        those of `state_dict`, in their type.

    Raises:
        CheckpointError: Weights are missing, have another shape or grid, or have no place in the model, so that it
            would compute something else than what was trained.
    """
    how = how or FitOptions(recorded=grids_of_record(state_dict))
    weights = {name: value for name, value in state_dict.items() if not how.stays(name)}
    report = FitReport()
    expected = model.state_dict()
    report.resized += _fit_patch_embedding(weights, expected, how)
    report.resized += fit_tables(weights, model, how)
    # A table that blocks share may have given them theirs.
    weights = {name: value for name, value in weights.items() if not how.stays(name)}
    report.missing = [name for name in expected if name not in weights and not how.stays(name)]
    report.left_over = [name for name in weights if name not in expected]
    _check_missing(weights, model, report.missing, how.prefix)
    surplus = [name for name in report.left_over if _COMPUTING.match(name) and not how.is_unused(name)]
    if not any(name.startswith(_STEM) for name in expected):  # MIMDet has put another one before its ViT
        surplus = [name for name in surplus if not name.startswith(_STEM)]
    _check_left_over(surplus, how.prefix)
    check_shapes(weights, expected)
    kept = {name: value for name, value in weights.items() if name in expected}
    report.loaded = len(kept)
    return kept, report


def _fit_patch_embedding(weights: dict[str, Tensor], expected: Mapping[str, Tensor], how: FitOptions) -> list[str]:
    if any(name.startswith('patch_embed.convs.') for name in (*weights, *expected)):
        return []  # of several convolutions the last is no kernel of pixels
    weight, wanted = weights.get('patch_embed.proj.weight'), expected.get('patch_embed.proj.weight')
    if weight is None or wanted is None:
        return []
    if 'patch_embed.proj.bias' in expected and 'patch_embed.proj.bias' not in weights:
        # CLIP has none, which is the same as zeros.
        weights['patch_embed.proj.bias'] = torch.zeros(len(weight))
    lines = []
    if weight.shape[1] != wanted.shape[1] and len(weight) == len(wanted):
        lines.append(f'patch_embed {weight.shape[1]} -> {wanted.shape[1]} channels ({how.channels})')
        weight = weights['patch_embed.proj.weight'] = fit_channels(weight, wanted.shape[1], how.channels)
    source, target = tuple(weight.shape[2:]), tuple(wanted.shape[2:])
    if source == target or weight.shape[:2] != wanted.shape[:2]:
        return lines
    weights['patch_embed.proj.weight'] = resize_patch_embedding(weight, target, how.patch_resize)
    return [*lines, f'patch_embed {source[0]}x{source[1]} -> {target[0]}x{target[1]} pixels ({how.patch_resize})']


def _check_missing(weights: Mapping[str, Tensor], model: nn.Module, missing: list[str], prefix: str) -> None:
    added = [kind for kind in _ADDED if not any(kind.match(name) for name in weights)]
    absent = [name for name in missing if not any(kind.match(name) for kind in added) or _is_small_gain(name, model)]
    if absent:
        raise CheckpointError(
            f'the checkpoint lacks {len(absent)} weights of the model, first {_listed(absent[:4], prefix)}: give the '
            f'model the sizes and options of the checkpoint ({_options_for(absent)}), or list what stays as it starts '
            'in init_cfg=dict(..., as_initialized=[...])'
        )


def _is_small_gain(name: str, model: nn.Module) -> bool:
    """Whether this is a gain of LayerScale that does not start at one, so that it switches its branch off."""
    return re.match(_GAINS, name) is not None and model.get_submodule(name.rpartition('.')[0]).init_value != 1.0


def _check_left_over(surplus: list[str], prefix: str) -> None:
    if surplus:
        raise CheckpointError(
            f'the checkpoint has {len(surplus)} weights that the model has not, last {_listed(surplus[-4:], prefix)}: '
            f'give the model the options of the checkpoint ({_options_for(surplus)}), or list what is to be ignored in '
            'init_cfg=dict(..., unused=[...])'
        )


def _listed(names: list[str], prefix: str) -> str:
    return ', '.join(f'{prefix}{name}' for name in names)


def _options_for(names: list[str]) -> str:
    """The options of `PlainViT` that decide about these weights."""
    blocks = {name.split('.')[1] for name in names if name.startswith('blocks.')}
    whole = {index for index in blocks if f'blocks.{index}.norm1.weight' in names}
    names = [name for name in names if name.split('.')[1:2] == [] or name.split('.')[1] not in whole]
    found = dict.fromkeys(option for pattern, option in _OPTIONS for name in names if re.search(pattern, name))
    return ', '.join([*(['num_layers'] if whole else []), *found]) or 'see its docstring'


def check_shapes(
    weights: dict[str, Tensor],
    expected: dict[str, Tensor],
    model: str = 'the model',
    advice: str = 'Give the model the sizes of the checkpoint',
) -> None:
    """Raise CheckpointError for weights of another shape than those expected under their names."""
    shapes = [
        f'{name} {tuple(value.shape)} in the file, {tuple(expected[name].shape)} in the model'
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if shapes:
        raise CheckpointError(
            f'{len(shapes)} weights of the checkpoint have another shape than those of {model}: '
            f'{"; ".join(shapes[:4])}. {advice}'
        )
