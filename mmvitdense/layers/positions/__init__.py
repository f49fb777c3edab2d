"""Positions of tokens: added to them (absolute, sincos, sine_conv), or parts of one `AttentionPosition` for a grid
(rotary, decomposed, bias)."""

from .absolute import resize_position_table
from .attention_position import AttentionPosition, OwnsTables, PositionTables
from .bias import BiasTable, RelativePositionBias, resize_bias_table
from .decomposed import DecomposedTables, attention_with_relative_position, axis_table, with_mask
from .recorded import RECORD, RecordsPositions
from .rotary import build_rope, half_pairing, rotate
from .sincos import SinCosPositions, sincos_position_table
from .sine_conv import SineConvPositions

__all__ = [
    'RECORD',
    'AttentionPosition',
    'BiasTable',
    'DecomposedTables',
    'OwnsTables',
    'PositionTables',
    'RecordsPositions',
    'RelativePositionBias',
    'SinCosPositions',
    'SineConvPositions',
    'attention_with_relative_position',
    'axis_table',
    'build_rope',
    'half_pairing',
    'resize_bias_table',
    'resize_position_table',
    'rotate',
    'sincos_position_table',
    'with_mask',
]
