"""The generators of Python, NumPy and torch: seeded from numbers that name a moment, kept and put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_loading(*key: int) -> None:
    """Seed the generators that augmentation draws from: Python's, NumPy's and torch's of the CPU.

    Args:
        *key: Numbers of at least 0 that name the moment; other numbers, however near, give unrelated draws.
    """
    words = _words(key)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # `torch.manual_seed` would also seed the GPUs, which the model draws from.
    torch.default_generator.manual_seed(int(words[2]))


def seed_model(*key: int) -> None:
    """Seed what a model draws from: the generators of `seed_loading` and those of all GPUs."""
    words = _words(key)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))


def _words(key: tuple[int, ...]) -> np.ndarray:
    return np.random.SeedSequence(key).generate_state(3)


@contextmanager
def loading_state_kept() -> Iterator[None]:
    """Put the generators of `seed_loading` back as they were when the block began."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


def random_state() -> dict[str, Any]:
    """Return the state of all generators in plain lists and tensors; a GPU's is read without waiting for the GPU."""
    _, keys, *rest = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': ['MT19937', keys.tolist(), *rest],
        'cpu': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go back to a state of `random_state`."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(state['numpy']))
    torch.set_rng_state(state['cpu'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])
