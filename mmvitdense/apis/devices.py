"""Where a model runs."""

from __future__ import annotations

import torch

from .errors import InputError


def usable_device(device: str | None) -> torch.device:
    """The device of that name; by default the first GPU if one is usable, else the CPU.

    Raises:
        InputError: It cannot be used here.
    """
    if device is None:
        return torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition('\n')[0]
        raise InputError(f'The device {device} cannot be used here ({reason}). Give cpu or cuda:N.') from error
    return chosen
