"""What mmengine logs of how each parameter was initialised."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn


def note_initialization(module: nn.Module, names: Collection[str], text: str) -> None:
    """Report to mmengine the parameters that were given values.

    mmengine leaves this to initializers; of parameters that none reports, it says that the value is the same.

    Args:
        module: The module that the initializer was called with.
        names: Names of its parameters.
        text: What was done.
    """
    infos = getattr(module, '_params_init_info', None)
    if infos is None:  # not called by init_weights
        return
    for name, parameter in module.named_parameters():
        if name in names and parameter in infos:
            infos[parameter]['init_info'] = text
            infos[parameter]['tmp_mean_value'] = parameter.data.mean().cpu()
