"""Published weights: reading files, telling their format, converting and fitting them to a model."""

from .detect import FORMATS, convert, detect
from .fit import FitReport, fit_to_vit
from .fit_model import fit_to_model
from .initializer import ViTPretrained
from .reading import CheckpointError, read_checkpoint, read_file
from .sincos_positions import SinCosPositions

__all__ = [
    'FORMATS',
    'CheckpointError',
    'FitReport',
    'SinCosPositions',
    'ViTPretrained',
    'convert',
    'detect',
    'fit_to_model',
    'fit_to_vit',
    'read_checkpoint',
    'read_file',
]
