"""Recipes that adapt to the data and the machine, and say what they changed."""

from .adapting import Adapted, adapt_config, prepared, refuse_other_runners, trial_of
from .expectation import Expected, expect
from .given import BATCH_AND_LENGTH, LENGTHS, Given
from .kept_plan import FIELD, adapted_before
from .precision import adapt_precision

__all__ = [
    'BATCH_AND_LENGTH',
    'FIELD',
    'LENGTHS',
    'Adapted',
    'Expected',
    'Given',
    'adapt_config',
    'adapt_precision',
    'adapted_before',
    'expect',
    'prepared',
    'refuse_other_runners',
    'trial_of',
]
