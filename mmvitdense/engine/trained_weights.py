"""Checkpoints that hold what was trained, without the frozen weights that a file brings anyway."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmvitdense.frozen_weights import RECORDS, Loaded, frozen_of_files, records_of, restore
from mmvitdense.registry import HOOKS

from .whole_checkpoint import bare_model

_OF_AVERAGED = 'module.'


@HOOKS.register_module()
class TrainedWeightsHook(Hook):
    """Leave out of checkpoints the frozen weights that `init_cfg=dict(type='ViTPretrained', ...)` brings.

    The weights that are trained, their averages (EMA) and the state of the optimizer are saved as ever, so that a
    run is resumed and tested as usual, by a config whose `init_cfg` gives the same frozen weights. A checkpoint says
    which these are, by the address of their file and a hash, and a model that has others is refused. Frozen weights of
    another origin, such as those of `load_from`, stay in the checkpoint::

        custom_hooks = [dict(type='mmvitdense.TrainedWeightsHook')]

    The tools of this project put the weights back where a checkpoint is read. Who builds a `Runner` without them adds
    `RestoreFrozenHook` beside.
    """

    priority = 'LOWEST'  # after the hooks that add to a checkpoint

    def __init__(self) -> None:
        self._replaced: set[str] = set()
        self._frozen: dict[str, Loaded] = {}
        self._records: list[dict[str, Any]] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note which frozen weights are about to be replaced by those of a checkpoint."""
        parameters, saved = dict(bare_model(runner.model).named_parameters()), checkpoint['state_dict']
        for name in frozen_of_files(bare_model(runner.model)):
            own, other = parameters[name].detach(), saved.get(name)
            if other is not None and not torch.equal(own, other.to(own)):
                self._replaced.add(name)

    def before_train(self, runner: Runner) -> None:
        """Find what is left out: frozen weights do not change from here on."""
        model = bare_model(runner.model)
        found = frozen_of_files(model)
        self._frozen = {name: origin for name, origin in found.items() if name not in self._replaced}
        self._records = records_of(model, self._frozen)
        addresses = ', '.join(dict.fromkeys(origin.address for origin in self._frozen.values()))
        kept = sum(not p.requires_grad and name not in self._frozen for name, p in model.named_parameters())
        text = f'Checkpoints are written without the {len(self._frozen)} frozen weights of {addresses}'
        if not self._frozen:
            text = 'Checkpoints are written whole: no frozen weight comes from an init_cfg of type ViTPretrained'
        print_log(
            f'{text}; {kept} frozen weights of other origin are in them' if kept else text,
            logger='current',
            level=logging.INFO if self._frozen else logging.WARNING,
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take them out, and write down which they are."""
        if not self._frozen:
            return
        for name in self._frozen:
            checkpoint['state_dict'].pop(name, None)
            checkpoint.get('ema_state_dict', {}).pop(f'{_OF_AVERAGED}{name}', None)
        checkpoint[RECORDS] = self._records


@HOOKS.register_module()
class RestoreFrozenHook(Hook):
    """Give a checkpoint of `TrainedWeightsHook` back what it lacks, from the model that is to load it.

    Raises:
        FrozenWeightsError: The model has loaded no such weights, or others.
    """

    priority = 'HIGHEST'  # before the hooks that take over parts of a checkpoint

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Complete the weights and their averages."""
        records = checkpoint.get(RECORDS)
        if not records:
            return
        added = restore(checkpoint['state_dict'], records, bare_model(runner.model))
        if 'ema_state_dict' in checkpoint:
            averaged = checkpoint['ema_state_dict']
            averaged.update((f'{_OF_AVERAGED}{name}', checkpoint['state_dict'][name].clone()) for name in added)
