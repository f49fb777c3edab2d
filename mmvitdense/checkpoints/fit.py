"""Fitting converted weights to a model: resized tables, and a report of what was loaded and what was not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import resize_position_table

from .reading import CheckpointError

# What a model may have and its pre-training not: it starts as initialised, which computes the same function or is
# meant to be learned.
_OPTIONAL = ('rel_pos_h', 'rel_pos_w', 'residual', 'register_tokens', 'ls1', 'ls2', 'norm', 'norm_pre', 'cls_token')


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


def fit_to_vit(state_dict: dict[str, Tensor], model: nn.Module) -> tuple[dict[str, Tensor], FitReport]:
    """Make converted weights loadable by a ``PlainViT``.

    The position table is resized to the grid of the model, with or without the row of the class token as the model
    has it (a row that the model has no place for is added to the class token if there is one, which computes the
    same). Tables of relative positions are resized linearly.

    Args:
        state_dict: Names of ``PlainViT``.
        model: The model that will load them.

    Returns:
        What ``model.load_state_dict(..., strict=False)`` may load, and the report.

    Raises:
        CheckpointError: Weights of a block or of the patch embedding are missing, have another shape, or have no
            place in the model.
    """
    weights = {name: value.float() if value.is_floating_point() else value for name, value in state_dict.items()}
    report = FitReport()
    if 'pos_embed' in weights and model.pos_embed is not None:
        _fit_positions(weights, model, report)
    expected = model.state_dict()
    for name, value in list(weights.items()):
        if name in expected and name.endswith(('rel_pos_h', 'rel_pos_w')) and len(value) != len(expected[name]):
            weights[name] = F.interpolate(value.T[None], size=len(expected[name]), mode='linear')[0].T
            report.resized.append(f'{name} {len(value)} -> {len(expected[name])}')
    report.missing = [name for name in expected if name not in weights]
    report.left_over = [name for name in weights if name not in expected]
    _check(weights, expected, report.missing)
    kept = {name: value for name, value in weights.items() if name in expected}
    report.loaded = len(kept)
    return kept, report


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
        patches = resize_position_table(patches, (side, side), model.pos_grid)
    if model.pos_embed_cls_slot:
        cls_row = cls_row if slot else torch.zeros_like(patches[:, :1])
        patches = torch.cat([cls_row, patches], dim=1)
    elif slot and model.cls_token is not None and 'cls_token' in weights:
        weights['cls_token'] = weights['cls_token'] + cls_row
    weights['pos_embed'] = patches


def _check(weights: dict[str, Tensor], expected: dict[str, Tensor], missing: list[str]) -> None:
    absent = [name for name in missing if not set(name.split('.')) & set(_OPTIONAL)]
    if absent:
        raise CheckpointError(
            f'the checkpoint lacks {len(absent)} weights of the model, first {", ".join(absent[:4])}: the sizes or '
            'options of the model are not those of the checkpoint'
        )
    # Without them the blocks would compute another function than the one that was trained.
    surplus = [name for name in weights if name not in expected and name.startswith(('blocks.', 'norm_pre.'))]
    if surplus:
        raise CheckpointError(
            f'the checkpoint has {len(surplus)} weights that the blocks of the model have not, last '
            f'{", ".join(surplus[-4:])}: give the model the num_layers and the options (layer_scale_init, rel_pos, '
            'pre_norm, ...) of the checkpoint'
        )
    shapes = [
        f'{name} {tuple(value.shape)} in the file, {tuple(expected[name].shape)} in the model'
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if shapes:
        raise CheckpointError(
            f'{len(shapes)} weights of the checkpoint have another shape than those of the model: '
            f'{"; ".join(shapes[:4])}. Give the model the sizes of the checkpoint'
        )
