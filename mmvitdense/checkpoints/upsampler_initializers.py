"""The `init_cfg` of what makes maps of a ViT denser: the weights of a LiFT, of a NAF."""

from __future__ import annotations

import os
from typing import ClassVar

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.registry import WEIGHT_INITIALIZERS

from .files.reading import CheckpointError, read_checkpoint
from .fit.init_info import note_initialization

_COUNTER = 'num_batches_tracked'


class _UpsamplerPretrained:
    """Load all weights of an upsampler from a file that has one, whatever else is in it.

    Attributes:
        part: What it is called.
        marks: Names of two layers by which it is found, alone or behind a prefix.
        misfit: What is said of one whose shapes differ, and what to do then.
    """

    part: ClassVar[str]
    marks: ClassVar[tuple[str, str]]
    misfit: ClassVar[tuple[str, str]]

    def __init__(self, checkpoint: str | os.PathLike):
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into the upsampler, all of them.

        Raises:
            CheckpointError: The file has none or several, or one that does not fit.
        """
        weights = self._compared(self._of_part(read_checkpoint(self.checkpoint)), module)
        own = module.state_dict()
        missing = sorted(name for name in own.keys() - weights.keys() if not name.endswith(_COUNTER))
        surplus = sorted(weights.keys() - own.keys())
        if missing or surplus:
            raise CheckpointError(
                f'{self.checkpoint} does not fit {self.part}: it lacks {missing or "nothing"} and has '
                f'{surplus or "nothing"} besides: give the file of a {self.part}'
            )
        for name, value in weights.items():
            if value.shape != own[name].shape:
                what, advice = self.misfit
                raise CheckpointError(
                    f'{self.checkpoint} is of a {what}: {name} has the shape {tuple(value.shape)}, the '
                    f'model {tuple(own[name].shape)}: {advice}'
                )
        module.load_state_dict(weights, strict=False)
        note_initialization(module, set(weights), f'{type(self).__name__}: loaded from {self.checkpoint}')
        print_log(f'{self.checkpoint}: loaded a {self.part}', logger='current')

    def _compared(self, weights: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        """The weights without what is no weight of the module, which is compared with what that computes."""
        return weights

    def _of_part(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the one upsampler in a file, by the names that they have in it."""
        last, other = self.marks
        prefixes = [
            prefix
            for prefix in (name.removesuffix(last) for name in state_dict if name.endswith(last))
            if f'{prefix}{other}' in state_dict
        ]
        if len(prefixes) != 1:
            what = f'several {self.part}s ({", ".join(prefixes)})' if prefixes else f'no {self.part}'
            raise CheckpointError(f'{self.checkpoint} has {what}: expected one, with layers such as {last} and {other}')
        return {n.removeprefix(prefixes[0]): v for n, v in state_dict.items() if n.startswith(prefixes[0])}


@WEIGHT_INITIALIZERS.register_module()
class LiFTPretrained(_UpsamplerPretrained):
    """Load a `LiFT`, from a released file (saksham-s/lift) or from a checkpoint of a model that holds one.

    The layers have the names of the released files, alone or behind a prefix such as 'backbone.lift.' in checkpoints of
    `LiFTPretraining` and of models with a `LiftedViT`.

    Args:
        checkpoint: Path or http(s) address of the file.
    """

    part = 'LiFT'
    marks = ('outc.weight', 'up1.up.weight')
    misfit = ('LiFT for another ViT', 'give the LiFT of this ViT')


@WEIGHT_INITIALIZERS.register_module()
class NAFPretrained(_UpsamplerPretrained):
    """Load a `NAF`, from a released file (valeoai/NAF) or from a checkpoint of a model that holds one.

    The layers have the names of the released files, alone or behind a prefix such as 'backbone.lift.' in checkpoints of
    `NAFPretraining` and of models with a `LiftedViT`. The periods of the rotary positions, which released files
    hold, must be those of the model.

    Args:
        checkpoint: Path or http(s) address of the file.
    """

    part = 'NAF'
    marks = ('image_encoder.encoder.0.weight', 'image_encoder.sem_encoder.0.weight')
    misfit = ('NAF of other sizes', 'give the model the dims of the file')

    def _compared(self, weights: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        weights = dict(weights)
        found = weights.pop('image_encoder.rope.periods', None)
        wanted = module.rope.periods(torch.device('cpu'))
        if found is not None and (found.shape != wanted.shape or not torch.allclose(found.float(), wanted, rtol=1e-3)):
            raise CheckpointError(
                f'{self.checkpoint} has {len(found)} rotary periods up to {found.max():.4g}, the NAF has {len(wanted)} '
                f'up to {wanted.max():.4g}: give it the dims, rope_heads and rope_base of the file'
            )
        return weights
