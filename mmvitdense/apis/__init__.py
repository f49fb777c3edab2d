"""Training, evaluation and inference: the functions behind the tools.

Each is imported when it is asked for, so that a program which only reads its command line waits for nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .demo import run_demo
    from .errors import InputError, run_tool
    from .inference import Inferencer
    from .named_models import FoundModel, find_model, load_model
    from .result import Result
    from .test import evaluate_model
    from .train import train_model

__all__ = [
    'FoundModel',
    'Inferencer',
    'InputError',
    'Result',
    'evaluate_model',
    'find_model',
    'load_model',
    'run_demo',
    'run_tool',
    'train_model',
]

_FILES = {
    'FoundModel': 'named_models',
    'Inferencer': 'inference',
    'InputError': 'errors',
    'Result': 'result',
    'evaluate_model': 'test',
    'find_model': 'named_models',
    'load_model': 'named_models',
    'run_demo': 'demo',
    'run_tool': 'errors',
    'train_model': 'train',
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'.{_FILES[name]}', __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
