"""The ``init_cfg`` that loads published weights into a ViT."""

from __future__ import annotations

import os

from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_INITIALIZERS
from torch import nn

from mmvitdense.registry import WEIGHT_INITIALIZERS

from .detect import detect
from .fit import fit_to_vit
from .reading import read_checkpoint

_BACKBONE = 'backbone.'


@WEIGHT_INITIALIZERS.register_module()
@ROOT_INITIALIZERS.register_module()  # mmengine looks up init_cfg types in its own registry alone
class ViTPretrained:
    """Load published weights of a plain ViT, whatever their format.

    Used as ``init_cfg=dict(type='ViTPretrained', checkpoint=...)`` of a ``PlainViT``. The format is told from the
    names, tables of positions are resized, and one line of the log says what was loaded, resized, missing and left
    over. Weights of blocks that are missing or have another shape raise ``CheckpointError``.

    Args:
        checkpoint: Path or http(s) address of the file.
    """

    def __init__(self, checkpoint: str | os.PathLike):
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``, a ``PlainViT``."""
        state_dict = read_checkpoint(self.checkpoint)
        form = detect(state_dict)
        weights = form.convert(state_dict)
        if any(name.startswith(_BACKBONE) for name in weights):
            weights = {n.removeprefix(_BACKBONE): v for n, v in weights.items() if n.startswith(_BACKBONE)}
        weights, report = fit_to_vit(weights, module)
        module.load_state_dict(weights, strict=False)
        print_log(f'{self.checkpoint} ({form.NAME}): {report}', logger='current')
