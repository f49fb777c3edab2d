"""What is done again and again where the speed of a model is measured: a prediction, or a step of its training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from mmvitdense.engine.fused_steps import fuse_steps
from mmvitdense.engine.whole_checkpoint import single_wrappers

from .adapt.trial import steps_without_change
from .amp import amp_for_device, enable_amp
from .build_errors import building
from .errors import InputError
from .made_up import Batch
from .model_parts import counting
from .wide_heads import computes_in_16_bits, give_float32

_BACKWARD, _OPTIMIZER = 'backward pass', 'optimizer'


class Round(Protocol):
    """Does its work on a batch when it is called.

    Attributes:
        training: Whether that is a step of the training.
        dtype: The type that products are computed in.
    """

    training: bool
    dtype: str

    def __call__(self, data: Batch) -> Any:
        """Do it once."""

    def counted(self, read: Callable[[], float], found: dict[str, float]) -> Any:
        """A context in which what it does beside the parts of the model is added to `found`, see `counting`."""

    def held(self) -> int:
        """Bytes of weights, and of what an optimizer keeps."""


class Prediction:
    """Predicts a batch, as a test does."""

    training = False

    def __init__(self, model: nn.Module, device: torch.device, amp: str | bool):
        self._model, self._device, self._amp = model, device, bool(amp)
        if amp:
            give_float32(model)
        self.dtype = _autocast_to(torch.get_autocast_dtype(device.type)) if amp else _plain(device)

    def __call__(self, data: Batch) -> Any:
        with torch.no_grad(), torch.autocast(self._device.type, enabled=self._amp):
            return self._model.test_step(data)

    @contextmanager
    def counted(self, read: Callable[[], float], found: dict[str, float]) -> Iterator[None]:
        """Nothing besides the parts of the model."""
        yield

    def held(self) -> int:
        """See `Round`."""
        return _bytes([*self._model.parameters(), *self._model.buffers()])


class TrainingStep:
    """Trains on a batch as a run does, by the config's optimizer wrapper, without changing a weight."""

    training = True

    def __init__(self, model: nn.Module, device: torch.device, amp: str | bool):
        cfg = model.cfg
        if not cfg.get('optim_wrapper'):
            raise InputError(f'{cfg.filename} cannot be trained: it has no optim_wrapper.')
        if amp:
            enable_amp(cfg, None if amp is True else amp)
        if device.type == 'cpu':
            amp_for_device(cfg)
        with building('optim_wrapper', cfg.optim_wrapper):
            self.wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        fuse_steps(self.wrapper)
        if computes_in_16_bits(cfg):
            give_float32(model)
        self._model = model.train()
        self.dtype = self._dtype(device)

    def __call__(self, data: Batch) -> Any:
        with steps_without_change(self.wrapper):
            return self._model.train_step(data, self.wrapper)

    @contextmanager
    def counted(self, read: Callable[[], float], found: dict[str, float]) -> Iterator[None]:
        """Count the backward pass and the step of the optimizer too."""
        methods = [
            (wrapper, name, counting(getattr(wrapper, name), part, read, found))
            for wrapper in single_wrappers(self.wrapper)
            for name, part in (('backward', _BACKWARD), ('step', _OPTIMIZER))
        ]
        for wrapper, name, method in methods:
            setattr(wrapper, name, method)
        try:
            yield
        finally:
            for wrapper, name, _ in methods:
                delattr(wrapper, name)

    def held(self) -> int:
        """See `Round`."""
        states = [state for wrapper in single_wrappers(self.wrapper) for state in wrapper.optimizer.state.values()]
        kept = [each for state in states for each in state.values() if isinstance(each, Tensor)]
        return _bytes([*self._model.parameters(), *self._model.buffers(), *kept])

    def _dtype(self, device: torch.device) -> str:
        kind = type(single_wrappers(self.wrapper)[0]).__name__
        if kind == 'OptimWrapper':
            return _plain(device)
        named = getattr(single_wrappers(self.wrapper)[0], 'cast_dtype', None)
        return _autocast_to(named or torch.get_autocast_dtype(device.type))


def _plain(device: torch.device) -> str:
    return 'TF32' if device.type == 'cuda' and torch.backends.cuda.matmul.allow_tf32 else 'float32'


def _autocast_to(dtype: torch.dtype) -> str:
    return f'{str(dtype).removeprefix("torch.")} (autocast)'


def _bytes(tensors: list[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)
