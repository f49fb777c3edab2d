"""A stand-in for `mmcv._ext`, the compiled module that an mmcv from a package registry lacks.

`mmcv.ops` asks `mmcv._ext` for every function of every op while it is imported, so without that module neither
mmdet nor mmseg can be imported. The stand-in answers every name. The functions listed in `COVERED` are computed by
torchvision or by tensor operations; any other raises an error when it is called, not when it is looked up.

The module is offered by a finder at the *end* of `sys.meta_path`: a compiled `_ext` inside mmcv's folder is found
before it, so a compiled mmcv is used untouched, and nothing has to be detected or imported beforehand.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NAME = 'mmcv._ext'

COVERED = {
    'nms': ('nms', 'softnms', 'nms_match'),
    'line_nms': ('line_nms_forward',),
    'bbox': ('bbox_overlaps',),
    'roi_align': ('roi_align_forward', 'roi_align_backward'),
    'roi_pool': ('roi_pool_forward', 'roi_pool_backward'),
    'deform_conv': (
        'deform_conv_forward',
        'deform_conv_backward_input',
        'deform_conv_backward_parameters',
        'modulated_deform_conv_forward',
        'modulated_deform_conv_backward',
    ),
    'deform_roi_pool': ('deform_roi_pool_forward', 'deform_roi_pool_backward'),
    'focal_loss': (
        'sigmoid_focal_loss_forward',
        'sigmoid_focal_loss_backward',
        'softmax_focal_loss_forward',
        'softmax_focal_loss_backward',
    ),
    'masked_conv': ('masked_im2col_forward', 'masked_col2im_forward'),
    'ms_deform_attn': ('ms_deform_attn_forward', 'ms_deform_attn_backward'),
    'carafe': ('carafe_forward', 'carafe_backward', 'carafe_naive_forward', 'carafe_naive_backward'),
    'psa_mask': ('psamask_forward', 'psamask_backward'),
    'sync_bn': (
        'sync_bn_forward_mean',
        'sync_bn_forward_var',
        'sync_bn_forward_output',
        'sync_bn_backward_param',
        'sync_bn_backward_data',
    ),
    'info': ('get_compiler_version', 'get_compiling_cuda_version'),
}
"""File of this package -> the functions of `mmcv._ext` that it defines."""

LATE = {
    'mmdet.structures.mask.structures': 'roi_align',
    'mmdet.utils.large_image': 'batched_nms',
    'mmdet.evaluation.metrics.dump_odvg_results': 'batched_nms',
}
"""Modules of mmdet that can be imported without ops -> the one of `mmcv.ops` that some versions do without then."""

_FILE_OF = {name: file for file, names in COVERED.items() for name in names}


class StandIn(types.ModuleType):
    """The module itself. A function is imported when it is first called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith('__'):
            raise AttributeError(f'module {NAME!r} (the stand-in of mmvitdense.compat) has no attribute {name!r}')
        return functools.partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name not in _FILE_OF:
            raise NotImplementedError(_uncovered(name))
        module = importlib.import_module(f'{__package__}.{_FILE_OF[name]}')
        function = _outside_autocast(getattr(module, name))
        setattr(self, name, function)
        return function(*args, **kwargs)


class StandInFinder:
    """Offers the stand-in under the name `mmcv._ext` when no other finder knows that module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(NAME, self, origin=__file__) if fullname == NAME else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandIn(NAME, __doc__)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to execute: the functions come on demand."""


def register() -> None:
    """Add the finder to `sys.meta_path`, once, and give their ops to modules that were imported without them."""
    if not is_registered():
        sys.meta_path.append(StandInFinder())
        if sys.modules.keys() & {'mmdet', 'mmseg'} and compiled_extension() is None:
            serve_late(sys.modules)


def serve_late(modules: Mapping[str, types.ModuleType]) -> None:
    """Put the ops of mmcv in the place of what `LATE` made when it could not import them; warn of what is beyond that.

    Heads of mmseg choose their base class by whether the ops can be imported, so that nothing can be mended afterwards.
    """
    for name in LATE.keys() & modules.keys():
        setattr(modules[name], LATE[name], getattr(importlib.import_module('mmcv.ops'), LATE[name]))
    if 'mmseg.models' in modules:
        warnings.warn(
            'mmseg.models was imported before mmvitdense, where mmcv has no compiled ops, so that its heads of '
            'Mask2Former and others cannot work in this process: import mmvitdense first.',
            stacklevel=2,
        )


def is_registered() -> bool:
    return any(isinstance(finder, StandInFinder) for finder in sys.meta_path)


def compiled_extension() -> str | None:
    """The file of a compiled `mmcv._ext`, or None. Imports neither it nor mmcv."""
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None or mmcv.submodule_search_locations is None:
        return None
    spec = importlib.machinery.PathFinder.find_spec(NAME, mmcv.submodule_search_locations)
    return None if spec is None else spec.origin


def _outside_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run `function` as a compiled op runs: no autograd, and the types it was given whatever autocast says."""
    import torch

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        tensor = next((a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)), None)
        if tensor is None:
            return function(*args, **kwargs)
        with torch.no_grad(), torch.autocast(tensor.device.type, enabled=False):
            return function(*args, **kwargs)

    return run


def _uncovered(name: str) -> str:
    command = 'pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps onedl-mmcv'
    if _is_distribution('mmcv-lite') and not _is_distribution('onedl-mmcv'):
        command = 'pip uninstall -y mmcv-lite; pip install --no-build-isolation --no-cache-dir --no-deps mmcv==2.1.0'
    return (
        f'Run "{command}" with a C++ compiler, for GPUs also the CUDA toolkit: {name} is a compiled op of mmcv that '
        'the installed one lacks and mmvitdense.compat does not cover.'
    )


def _is_distribution(name: str) -> bool:
    import importlib.metadata

    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
