"""mmcv's layer as mmcv wrote it: read from its file, since compat puts our op into the module that is imported."""

import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmcv.ops import multi_scale_deform_attn as replaced


def _original() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location('mmcv.ops.original_multi_scale_deform_attn', replaced.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    registry = importlib.import_module('mmengine.registry').MODELS
    kept = dict(registry.module_dict)
    registry.module_dict.pop('MultiScaleDeformableAttention', None)
    try:
        spec.loader.exec_module(module)
    finally:
        registry.module_dict.clear()
        registry.module_dict.update(kept)
    # Its CUDA path would end in our op again.
    module.IS_CUDA_AVAILABLE = False
    return module


ORIGINAL = _original()


def own_forward(layer: torch.nn.Module) -> torch.nn.Module:
    layer.forward = types.MethodType(ORIGINAL.MultiScaleDeformableAttention.forward, layer)
    return layer


@contextmanager
def mmcv_itself() -> Iterator[None]:
    """Within, mmcv's layers compute by mmcv's Python path."""
    ours = replaced.MultiScaleDeformableAttention.forward
    replaced.MultiScaleDeformableAttention.forward = ORIGINAL.MultiScaleDeformableAttention.forward
    try:
        yield
    finally:
        replaced.MultiScaleDeformableAttention.forward = ours
