"""Which implementation of the ops runs: the compiled kernels of a device, or the reference in plain PyTorch."""

import os
import threading
import warnings

import torch

from . import building

NAMES = ('auto', 'compiled', 'reference')
VARIABLE = 'MMVITDENSE_OPS_BACKEND'

_choice = os.environ.get(VARIABLE, 'auto')
_state: dict[str, str | None] = {}
"""Device type -> None once its kernels are loaded, else why they are not."""
_lock = threading.RLock()


def set_backend(name: str) -> None:
    """Choose the implementation of the ops in this process: one of

    - 'auto': compiled kernels where there are any or they can be built, else the reference, with one warning;
    - 'compiled': compiled kernels, or an error that says what is missing; torch.export then names the operators, which
      it else writes down as torch's own;
    - 'reference': plain PyTorch, differentiable to any order.

    The environment variable MMVITDENSE_OPS_BACKEND sets the same before the start. Choosing builds nothing.

    Raises:
        ValueError: any other name.
    """
    global _choice
    _check_name(name)
    _choice = name


def backend(device: torch.device | str = 'cpu') -> str:
    """'compiled' or 'reference': what the ops use on `device`. Loads the kernels, or builds them, as a first call of
    an op would do.

    Raises:
        RuntimeError: 'compiled' was asked for and is not to be had.
    """
    return 'compiled' if use_compiled(torch.device(device)) else 'reference'


def use_compiled(device: torch.device) -> bool:
    """Whether the compiled kernels serve `device`. The first call for a type of device loads or builds them."""
    _check_name(_choice)
    if _choice == 'reference':
        return False
    kind = device.type
    if kind not in _state:
        with _lock:
            if kind not in _state:
                _state[kind] = _load(kind)
                if _state[kind] and _choice == 'auto' and kind in building.DEVICES:
                    warnings.warn(
                        f'mmvitdense: the ops on {kind} run in plain PyTorch, several times slower than compiled '
                        f'kernels: {_state[kind]}',
                        stacklevel=2,
                    )
    if _state[kind] is not None and _choice == 'compiled':
        raise RuntimeError(
            f"the ops backend 'compiled' was asked for, but on {kind} it is not to be had: {_state[kind]}. "
            f"Mend that, or choose 'auto' by {VARIABLE} or mmvitdense.ops.set_backend."
        )
    return _state[kind] is None


def chosen() -> str:
    """The name that was chosen, 'auto' at first. Reads a plain variable, which torch.compile can follow."""
    return _choice


def _load(kind: str) -> str | None:
    try:
        torch.ops.load_library(str(building.library(kind)))
    except building.UnavailableError as error:
        return str(error)
    except OSError as error:
        return f'its library does not load: {error}'
    return None


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"the ops backend is {name!r}; expected 'auto', 'compiled' or 'reference' ({VARIABLE})")
