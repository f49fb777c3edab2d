"""Graphs as files: ONNX, OpenVINO's IR, and PyTorch's own format."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.export import ExportedProgram

from mmvitdense.whole_files import written_whole

from .description import KEY, Description
from .errors import ExportError
from .optional import needed
from .tracing import standard_operators

SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml', 'torch': '.pt2'}
"""Format -> ending of its files."""
_LIBRARIES = {'onnx': ('onnx', 'onnxscript'), 'openvino': ('onnx', 'onnxscript', 'openvino'), 'torch': ()}
OLDEST_OPSET, NEWEST_OPSET = 18, 23
_ONE_FILE = 1_900_000_000
"""Bytes of weights that fit into one ONNX file, whose limit is 2 GiB."""


def check_opset(opset: int) -> None:
    """Refuse versions of ONNX's operators that PyTorch does not write.

    Raises:
        ExportError: it is none of them.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(f'--opset is {opset}; expected {OLDEST_OPSET} to {NEWEST_OPSET}.')


def check_libraries(form: str) -> None:
    """Refuse a format whose libraries are not installed, before the work.

    Raises:
        ExportError: with what to install.
    """
    for name in _LIBRARIES[form]:
        needed(name, f'--format {form}')


def to_onnx(program: ExportedProgram, description: Description, opset: int = 18) -> torch.onnx.ONNXProgram:
    """Translate a graph to ONNX.

    Returns:
        PyTorch's `ONNXProgram`; its `exported_program` has the operators that the nodes are named after.

    Raises:
        ExportError: the model has deformable convolutions, which no ONNX file for onnxruntime has had so far.
    """
    check_libraries('onnx')
    check_opset(opset)
    if any('deform_conv2d' in str(node.target) for node in program.graph.nodes):
        raise ExportError(
            'The model has deformable convolutions, as of PEM, and onnxruntime loads no file with them: export a model '
            'without, such as EoMT or kMaX-DeepLab.'
        )
    with standard_operators(), _quiet(), torch.no_grad():
        onnx_program = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=opset,
            input_names=list(description.inputs),
            output_names=list(description.outputs),
            verbose=False,
            optimize=True,
        )
    onnx_program.model.metadata_props[KEY] = description.to_json()
    return onnx_program


def save_onnx(onnx_program: torch.onnx.ONNXProgram, path: Path) -> list[Path]:
    """Write an ONNX file; weights above 2 GB go to a second one beside it, `NAME.onnx.data`.

    Returns:
        The files.
    """
    size = sum(value.const_value.nbytes for value in onnx_program.model.graph.initializers.values())
    if size > _ONE_FILE:
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx_program.save(path, external_data=True)
        return [path, path.with_name(f'{path.name}.data')]
    with written_whole(path) as temporary:
        onnx_program.save(temporary, external_data=False)
    return [path]


def slim_onnx(path: Path) -> None:
    """Let onnxslim fold and merge the nodes of a file, in place."""
    onnxslim, onnx = needed('onnxslim', '--slim'), needed('onnx', '--slim')
    model = onnx.load(path)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    with _quiet():
        slim = onnxslim.slim(model)
    onnx.helper.set_model_props(slim, kept)
    with written_whole(path) as temporary:
        onnx.save(slim, temporary)


def save_openvino(onnx_file: Path, path: Path, description: Description) -> list[Path]:
    """Convert an ONNX file to OpenVINO's IR, with weights in float32.

    Returns:
        The files, the second one with the weights.
    """
    openvino = needed('openvino', 'Writing OpenVINO files')
    model = openvino.convert_model(str(onnx_file))
    model.set_rt_info(description.to_json(), KEY)
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(path), compress_to_fp16=False)
    return [path, path.with_suffix('.bin')]


def save_torch(program: ExportedProgram, path: Path, description: Description) -> list[Path]:
    """Write PyTorch's format, which `torch.export.load` reads."""
    if path.suffix != '.pt2':
        raise ExportError(f'--out {path}: expected a name that ends with .pt2, as PyTorch has it.')
    with written_whole(path) as temporary:
        torch.export.save(program, temporary, extra_files={KEY: description.to_json()})
    return [path]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of the exporters, which are about their own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
