"""What mmengine logs of how each parameter was initialised."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn


def note_initialization(module: nn.Module, names: Collection[str], text: str) -> None:
    """Tell mmengine of the parameters that were given values.

    mmengine leaves this to initializers; of parameters that none tells of, it says that the value is the same.

    Args:
        module: The module that the initializer was called with.
        names: Names of its parameters.
        text: What was done.
    """
    told = getattr(module, '_params_init_info', None)
    if told is None:  # not called by init_weights
        return
    for name, parameter in module.named_parameters():
        if name in names and parameter in told:
            told[parameter]['init_info'] = text
            told[parameter]['tmp_mean_value'] = parameter.data.mean().cpu()
