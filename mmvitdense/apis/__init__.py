"""Training, evaluation and inference: the functions behind the tools."""

from .demo import run_demo
from .errors import InputError, run_tool
from .inference import ImageInferencer
from .test import evaluate_model
from .train import train_model

__all__ = ['ImageInferencer', 'InputError', 'evaluate_model', 'run_demo', 'run_tool', 'train_model']
