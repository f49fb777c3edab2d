"""Fitting converted weights to a model: resized tables, and a report of what was loaded and what was not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import resize_bias_table, resize_position_table

from .patch_size import resize_patch_embedding
from .reading import CheckpointError

# What a model may have and its pre-training not: it starts as initialised, which computes the same function or is
# meant to be learned.
_OPTIONAL = re.compile(
    r'^(cls_token|register_tokens|norm\.\w+|(window_)?rel_pos_bias\..+)$'
    r'|^blocks\.\d+\.(attn\.(rel_pos_[hw]|relative_position_bias_table)|ls[12]\.gamma|residual\..+)$'
)
# Names that change the function which the blocks compute.
_COMPUTING = ('blocks.', 'norm_pre.', 'rel_pos_', 'window_rel_pos_')
_SHARED_TABLE = 'rel_pos_bias.relative_position_bias_table'
_TABLE = re.compile(r'^(blocks\.\d+\.attn|rel_pos_bias|window_rel_pos_bias\.\d+)\.relative_position_bias_table$')


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
    state_dict: dict[str, Tensor], model: nn.Module, patch_resize: str = 'pinv'
) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a ``PlainViT``.

    The position table is resized to the grid of the model by the model's own rule (``pos_resize``), with or without
    the row of the class token as the model has it (a row that the model has no place for is added to the class token
    if there is one, which computes the same). Tables of decomposed relative positions are resized linearly, tables of
    BEiT's biases by BEiT's rule; a table that the blocks of the file share is copied to each block where those of the
    model have their own. The patch embedding is resized where the model has another patch size.

    Args:
        state_dict: Names of ``PlainViT``.
        model: The model that will load them.
        patch_resize: 'pinv' or 'bilinear', see ``resize_patch_embedding``.

    Returns:
        What ``model.load_state_dict(..., strict=False)`` may load, and the report. Tensors that are not resized are
        those of ``state_dict``, in their type.

    Raises:
        CheckpointError: Weights of a block or of the patch embedding are missing, have another shape, or have no
            place in the model.
    """
    weights = dict(state_dict)
    report = FitReport()
    expected = model.state_dict()
    _fit_patch_embedding(weights, expected, patch_resize, report)
    if 'pos_embed' in weights and model.pos_embed is not None:
        _fit_positions(weights, model, report)
    _fit_decomposed_positions(weights, expected, report)
    _fit_biases(weights, expected, model, report)
    report.missing = [name for name in expected if name not in weights]
    report.left_over = [name for name in weights if name not in expected]
    _check(weights, expected, report.missing)
    kept = {name: value for name, value in weights.items() if name in expected}
    report.loaded = len(kept)
    return kept, report


def _fit_patch_embedding(weights: dict[str, Tensor], expected: dict[str, Tensor], mode: str, report: FitReport) -> None:
    weight, wanted = weights.get('patch_embed.proj.weight'), expected.get('patch_embed.proj.weight')
    if weight is None or wanted is None:
        return
    if 'patch_embed.proj.bias' in expected and 'patch_embed.proj.bias' not in weights:
        # CLIP has none, which is the same as zeros.
        weights['patch_embed.proj.bias'] = torch.zeros(len(weight))
    source, target = tuple(weight.shape[2:]), tuple(wanted.shape[2:])
    if source != target and weight.shape[:2] == wanted.shape[:2]:
        weights['patch_embed.proj.weight'] = resize_patch_embedding(weight, target, mode)
        report.resized.append(f'patch_embed {source[0]}x{source[1]} -> {target[0]}x{target[1]} pixels ({mode})')


def _fit_decomposed_positions(weights: dict[str, Tensor], expected: dict[str, Tensor], report: FitReport) -> None:
    for name, value in list(weights.items()):
        if name in expected and name.endswith(('rel_pos_h', 'rel_pos_w')) and len(value) != len(expected[name]):
            weights[name] = F.interpolate(value.float().T[None], size=len(expected[name]), mode='linear')[0].T
            report.resized.append(f'{name} {len(value)} -> {len(expected[name])}')


def _fit_biases(weights: dict[str, Tensor], expected: dict[str, Tensor], model: nn.Module, report: FitReport) -> None:
    wanted = [name for name in expected if _TABLE.match(name)]
    absent = [name for name in wanted if name not in weights]
    if _SHARED_TABLE in weights and absent:
        shared = weights[_SHARED_TABLE] if _SHARED_TABLE in wanted else weights.pop(_SHARED_TABLE)
        weights.update((name, shared) for name in absent)
    for name in wanted:
        if name not in weights or weights[name].shape == expected[name].shape:
            continue
        table, grid = weights[name].float(), _table_grid(model, name)
        # (2g - 1)^2 rows for the offsets, then perhaps three of the class token.
        side = (math.isqrt(len(table)) + 1) // 2
        offsets, cls_rows = table[: (2 * side - 1) ** 2], table[(2 * side - 1) ** 2 :]
        if (side, side) != grid:
            offsets = resize_bias_table(offsets, (side, side), grid)
            report.resized.append(f'{name} {side}x{side} -> {grid[0]}x{grid[1]}')
        has_cls_rows = len(expected[name]) != len(offsets)
        weights[name] = torch.cat([offsets, cls_rows]) if has_cls_rows else offsets


def _table_grid(model: nn.Module, name: str) -> tuple[int, int]:
    owner = model.get_submodule(name.rpartition('.')[0])
    return tuple(owner.bias_grid if hasattr(owner, 'bias_grid') else owner.table_grid)


def _fit_positions(weights: dict[str, Tensor], model: nn.Module, report: FitReport) -> None:
    table = weights['pos_embed']
    rows = table.shape[1]
    if rows == model.pos_embed.shape[1]:
        return
    slot = math.isqrt(rows) ** 2 != rows
    side = math.isqrt(rows - slot)
    if side**2 != rows - slot:
        raise CheckpointError(
            f'pos_embed has {rows} rows, which is no square grid with or without a row for the class token; the model '
            f'expects {model.pos_grid[0]} x {model.pos_grid[1]}'
        )
    cls_row, patches = table[:, :slot], table[:, slot:]
    if (side, side) != model.pos_grid:
        report.resized.append(f'pos_embed {side}x{side} -> {model.pos_grid[0]}x{model.pos_grid[1]}')
        patches = resize_position_table(patches.float(), (side, side), model.pos_grid, **model.pos_resize)
    if model.pos_embed_cls_slot:
        cls_row = cls_row if slot else torch.zeros_like(patches[:, :1])
        patches = torch.cat([cls_row, patches], dim=1)
    elif slot and model.cls_token is not None and 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'].float() + cls_row.float()
    weights['pos_embed'] = patches


def _check(weights: dict[str, Tensor], expected: dict[str, Tensor], missing: list[str]) -> None:
    absent = [name for name in missing if not _OPTIONAL.match(name)]
    if absent:
        raise CheckpointError(
            f'the checkpoint lacks {len(absent)} weights of the model, first {", ".join(absent[:4])}: the sizes or '
            'options of the model are not those of the checkpoint'
        )
    # Without them the blocks would compute another function than the one that was trained.
    surplus = [name for name in weights if name not in expected and name.startswith(_COMPUTING)]
    if surplus:
        raise CheckpointError(
            f'the checkpoint has {len(surplus)} weights that the blocks of the model have not, last '
            f'{", ".join(surplus[-4:])}: give the model the num_layers and the options (layer_scale_init, rel_pos, '
            'pre_norm, ...) of the checkpoint'
        )
    check_shapes(weights, expected)


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
