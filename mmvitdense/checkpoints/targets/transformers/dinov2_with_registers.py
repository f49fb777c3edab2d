"""`Dinov2WithRegistersModel` of transformers."""

from __future__ import annotations

from typing import Any

from mmvitdense.checkpoints.targets.contract import Options, Target, Weights
from mmvitdense.checkpoints.targets.parts import MASK_TOKEN

from .dinov2 import WITH_REGISTERS, refuses, settings, write
from .names import OPENS

_RULE = {'by': 'size', 'antialias': True, 'mode': 'bicubic'}


def arguments(options: Options, weights: Weights) -> dict[str, Any]:
    """Those of config.json."""
    found = settings('Dinov2WithRegistersModel', 'dinov2_with_registers', options)
    return {**found, 'num_register_tokens': options['num_registers']}


TARGET = Target(
    name='Dinov2WithRegistersModel',
    library='transformers',
    about=__doc__,
    expresses=WITH_REGISTERS,
    arguments=arguments,
    write=write,
    read_by=('transformers DINOv2',),
    pos_resize=_RULE,
    refuses=refuses,
    carries=(MASK_TOKEN,),
    opens=OPENS,
)
