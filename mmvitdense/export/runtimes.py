"""Exported files, loaded and called: onnxruntime, OpenVINO and PyTorch behind one interface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torchvision  # noqa: F401  (its operators are in exported files)

from .description import KEY, Description
from .errors import ExportError
from .optional import needed

Arrays = dict[str, np.ndarray]

RUNTIMES = ('onnxruntime', 'openvino', 'torch')
_DEFAULT = {'.onnx': 'onnxruntime', '.xml': 'openvino', '.pt2': 'torch'}


class Session:
    """A loaded file.

    Attributes:
        path: The file.
        runtime: What runs it.
        description: What the file says of itself.
    """

    runtime: str

    def __init__(self, path: Path, description: Description):
        self.path, self.description = path, description

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by name, of inputs by name."""
        raise NotImplementedError


class OnnxRuntimeSession(Session):
    """An ONNX file in onnxruntime, on the CPU."""

    runtime = 'onnxruntime'

    def __init__(self, path: Path, threads: int | None = None, optimized: bool = True):
        onnxruntime = needed('onnxruntime', 'Running ONNX files')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or torch.get_num_threads()
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = onnxruntime.InferenceSession(os.fspath(path), options, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ExportError(f'{path} cannot be loaded by onnxruntime: {_line(error)}') from error
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        super().__init__(path, Description.from_json(text, str(path)))

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by name, of inputs by name."""
        names = [output.name for output in self.session.get_outputs()]
        try:
            return dict(zip(names, self.session.run(names, dict(inputs))))
        except Exception as error:
            raise ExportError(f'onnxruntime cannot run {self.path}: {_line(error)}') from error


class OpenVinoSession(Session):
    """An ONNX file or an IR in OpenVINO, on the CPU and in float32: its default may be bfloat16."""

    runtime = 'openvino'

    def __init__(self, path: Path, threads: int | None = None):
        openvino = needed('openvino', 'Running files in OpenVINO')
        core = openvino.Core()
        try:
            self.model = core.read_model(os.fspath(path))
            options = {
                'INFERENCE_PRECISION_HINT': 'f32',
                'INFERENCE_NUM_THREADS': threads or torch.get_num_threads(),
            }
            self.compiled = core.compile_model(self.model, 'CPU', options)
        except RuntimeError as error:
            raise ExportError(f'{path} cannot be loaded by OpenVINO: {_line(error)}') from error
        super().__init__(path, Description.from_json(_openvino_text(self.model, path), str(path)))

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by name, of inputs by name."""
        try:
            results = self.compiled(dict(inputs))
        except RuntimeError as error:
            raise ExportError(f'OpenVINO cannot run {self.path}: {_line(error)}') from error
        return {name: np.array(results[index]) for index, name in enumerate(self.description.outputs)}


class TorchSession(Session):
    """A program of `torch.export` in PyTorch."""

    runtime = 'torch'

    def __init__(self, path: Path, threads: int | None = None):
        files = {KEY: ''}
        try:
            self.program = torch.export.load(os.fspath(path), extra_files=files)
        except Exception as error:  # a broken archive raises whatever its part does
            raise ExportError(f'{path} cannot be loaded by torch.export: {_line(error)}') from error
        self.module = self.program.module()
        super().__init__(path, Description.from_json(files[KEY], str(path)))

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Outputs by name, of inputs by name."""
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self.description.inputs]
        with torch.no_grad():
            outputs = self.module(*tensors)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        return dict(zip(self.description.outputs, (output.numpy() for output in outputs)))


def open_file(path: str | Path, runtime: str | None = None, threads: int | None = None) -> Session:
    """Load an exported file.

    Args:
        path: A file that ends with .onnx, .xml or .pt2.
        runtime: 'onnxruntime', 'openvino' or 'torch'; by default that of the format.
        threads: How many threads it uses; by default as many as PyTorch.

    Raises:
        ExportError: there is no such file, the runtime is not installed or does not read it, or it was not written by
            `mmvitdense export`.
    """
    path = Path(path)
    runtime = runtime_of(path, runtime)
    if not path.is_file():
        raise ExportError(f'There is no file {path}.')
    kinds = {'onnxruntime': OnnxRuntimeSession, 'openvino': OpenVinoSession, 'torch': TorchSession}
    return kinds[runtime](path, threads)


def runtime_of(path: Path, runtime: str | None = None) -> str:
    """What runs a file, which need not be there yet: that of its format, or the one that is given.

    Raises:
        ExportError: the file is of none, the runtime does not read it, or it is not installed.
    """
    if path.suffix not in _DEFAULT:
        raise ExportError(f'{path}: expected an exported file, which ends with .onnx, .xml or .pt2.')
    runtime = runtime or _DEFAULT[path.suffix]
    if runtime not in RUNTIMES:
        raise ExportError(f'There is no runtime {runtime!r}; expected onnxruntime, openvino or torch.')
    if runtime != _DEFAULT[path.suffix] and (path.suffix, runtime) != ('.onnx', 'openvino'):
        raise ExportError(f'{runtime} does not read {path.suffix} files; {_DEFAULT[path.suffix]} does.')
    needed(runtime, f'Running {path.suffix} files')
    return runtime


def _openvino_text(model: object, path: Path) -> str | None:
    if path.suffix == '.xml':
        return model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None
    onnx = needed('onnx', 'Reading what an ONNX file says of itself')
    entries = onnx.load(path, load_external_data=False).metadata_props
    return next((entry.value for entry in entries if entry.key == KEY), None)


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300]
