"""The ``init_cfg`` that loads the weights of a LiFT."""

from __future__ import annotations

import os

from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.registry import WEIGHT_INITIALIZERS

from .files.reading import CheckpointError, read_checkpoint
from .fit.init_info import note_initialization

_LAST = 'outc.weight'
_COUNTER = 'num_batches_tracked'


@WEIGHT_INITIALIZERS.register_module()
class LiFTPretrained:
    """Load a ``LiFT``, from a released file (saksham-s/lift) or from a checkpoint of a model that holds one.

    The layers have the names of the released files, alone or behind a prefix such as 'backbone.lift.' in checkpoints of
    ``LiFTPretraining`` and of models with a ``LiftedViT``.

    Args:
        checkpoint: Path or http(s) address of the file.
    """

    def __init__(self, checkpoint: str | os.PathLike):
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a ``LiFT``, all of them.

        Raises:
            CheckpointError: The file has no LiFT or several, or one that does not fit.
        """
        weights = _lift_in(read_checkpoint(self.checkpoint), self.checkpoint)
        own = module.state_dict()
        missing = sorted(name for name in own.keys() - weights.keys() if not name.endswith(_COUNTER))
        surplus = sorted(weights.keys() - own.keys())
        if missing or surplus:
            raise CheckpointError(
                f'{self.checkpoint} does not fit LiFT: it lacks {missing or "nothing"} and has {surplus or "nothing"} '
                'besides: give the file of a LiFT'
            )
        for name, value in weights.items():
            if value.shape != own[name].shape:
                raise CheckpointError(
                    f'{self.checkpoint} is of a LiFT for another ViT: {name} has the shape {tuple(value.shape)}, the '
                    f'model {tuple(own[name].shape)}: give the LiFT of this ViT'
                )
        module.load_state_dict(weights, strict=False)
        note_initialization(module, set(weights), f'{type(self).__name__}: loaded from {self.checkpoint}')
        print_log(f'{self.checkpoint}: loaded a LiFT of {module.outc.out_channels} channels', logger='current')


def _lift_in(state_dict: dict[str, Tensor], checkpoint: str | os.PathLike) -> dict[str, Tensor]:
    """The weights of the one LiFT in a file, by the names that they have in it."""
    prefixes = [
        prefix
        for prefix in (name.removesuffix(_LAST) for name in state_dict if name.endswith(_LAST))
        if f'{prefix}up1.up.weight' in state_dict
    ]
    if len(prefixes) != 1:
        what = f'several LiFTs ({", ".join(prefixes)})' if prefixes else 'no LiFT'
        raise CheckpointError(f'{checkpoint} has {what}: expected one, with layers such as {_LAST} and up1.up.weight')
    return {n.removeprefix(prefixes[0]): v for n, v in state_dict.items() if n.startswith(prefixes[0])}
