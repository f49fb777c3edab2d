"""What a file of weights is, what a model would take from it, and whether two files hold the same features."""

from .compare import Comparison, compare_weights
from .config import ConfigFit, fit_to_config
from .diagnosis import Diagnosis, diagnose
from .source import WeightFile, open_weights
from .text import report_as_text

__all__ = [
    'Comparison',
    'ConfigFit',
    'Diagnosis',
    'WeightFile',
    'compare_weights',
    'diagnose',
    'fit_to_config',
    'open_weights',
    'report_as_text',
]
