"""mmvitdense: dense prediction with plain Vision Transformers on OpenMMLab."""

import importlib.util

__version__ = '0.1.0'

if importlib.util.find_spec('mmengine') is None:
    raise ImportError(
        'mmvitdense needs OpenMMLab, which is not installed: run `pip install "mmvitdense[onedl]"` for the maintained '
        'line (or `pip install "mmvitdense[openmmlab]"` for the original one; never both in one environment).'
    )

from . import compat

compat.install()
