"""Published weights: reading files, recognising their format, converting and fitting them to a model."""

from .files.reading import CheckpointError, read_checkpoint, read_file
from .fit.model import fit_to_model
from .fit.sincos_positions import SinCosPositions
from .fit.vit import FitReport, fit_to_vit
from .formats.detect import FORMATS, convert, detect
from .initializer import ViTPretrained
from .upsampler_initializers import LiFTPretrained, NAFPretrained

__all__ = [
    'FORMATS',
    'CheckpointError',
    'FitReport',
    'LiFTPretrained',
    'NAFPretrained',
    'SinCosPositions',
    'ViTPretrained',
    'convert',
    'detect',
    'fit_to_model',
    'fit_to_vit',
    'read_checkpoint',
    'read_file',
]
