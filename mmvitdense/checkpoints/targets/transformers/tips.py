"""`Tipsv2VisionModel` of transformers: as DINOv2 with registers, with positions resized bilinearly.

Its files have the names of TIPS, which are those of this project.
"""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import MASK_TOKEN, with_class_row, with_mask_token, with_patch_bias

from .dinov2 import WITH_REGISTERS, refuses, settings
from .names import OPENS

_RULE = {'by': 'size', 'antialias': True, 'mode': 'bilinear'}


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    found = settings('Tipsv2VisionModel', 'tipsv2_vision_model', options)
    return {**found, 'num_register_tokens': options['num_registers']}


def write(weights: Weights, options: Options) -> Weights:
    """Add what the model has and these weights may lack."""
    return with_mask_token(with_class_row(with_patch_bias(weights), options), 1, options['embed_dims'])


TARGET = Target(
    name='Tipsv2VisionModel',
    library='transformers',
    about=__doc__,
    expresses={**WITH_REGISTERS, 'num_registers': (1,)},
    arguments=arguments,
    write=write,
    read_by=('TIPS',),
    pos_resize=_RULE,
    refuses=refuses,
    carries=(MASK_TOKEN,),
    opens=OPENS,
)
