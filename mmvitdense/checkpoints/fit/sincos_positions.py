"""The `init_cfg` that fills a position table with sines and cosines."""

from __future__ import annotations

import torch
from torch import nn

from mmvitdense.layers.positions import sincos_position_table
from mmvitdense.registry import WEIGHT_INITIALIZERS

from .init_info import note_initialization


@WEIGHT_INITIALIZERS.register_module()
class SinCosPositions:
    """Start the absolute positions of a `PlainViT` from sines and cosines; they stay learned.

    Used as `init_cfg=dict(type='SinCosPositions')` of a `PlainViT`, or last in a list after `ViTPretrained` to
    replace the positions of the pre-training. A row for the class token becomes zero.

    Args:
        rows_first: Whether the first half of the channels is of the row, as in hustvl/MIMDet
            `models/benchmarking.py`, and not of the column, as in MAE and MoCo v3.
    """

    def __init__(self, rows_first: bool = False):
        self.rows_first = rows_first

    def __call__(self, module: nn.Module) -> None:
        """Fill `module.pos_embed`."""
        if getattr(module, 'pos_embed', None) is None:
            raise ValueError(
                f"SinCosPositions needs a PlainViT with pos_embed='absolute', got {type(module).__name__} without a "
                'position table: give it one or leave this init_cfg out'
            )
        table = sincos_position_table(module.pos_grid, module.embed_dims)
        if self.rows_first:
            table = torch.cat(table.chunk(2, dim=-1)[::-1], dim=-1)
        slot = int(module.pos_embed_cls_slot)
        with torch.no_grad():
            module.pos_embed[:, :slot].zero_()
            module.pos_embed[:, slot:].copy_(table)
        note_initialization(module, {'pos_embed'}, f'{type(self).__name__}: rows_first={self.rows_first}')
