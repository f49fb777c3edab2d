"""A model and its weights as a file for another runtime."""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

import mmvitdense
from mmvitdense.export.description import Description
from mmvitdense.export.optional import needed
from mmvitdense.export.tracing import trace
from mmvitdense.export.wrapped import Wrapped
from mmvitdense.export.writing import (
    SUFFIXES,
    check_libraries,
    check_opset,
    save_onnx,
    save_openvino,
    save_torch,
    slim_onnx,
    to_onnx,
)

from .errors import InputError
from .files import check_output_file
from .image_loading import test_dataset
from .named_models import RANDOM, load_model

DYNAMIC = ('batch', 'size')


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        format: 'onnx', 'openvino' or 'torch'.
        size: Height and width of the images; None for those of the config.
        batch: How many images a call takes.
        dynamic: Of 'batch' and 'size' what is left open.
        opset: Version of ONNX's operators.
        paste: Whether masks are put into the image, and semantic scores become a label map.
        slim: Whether onnxslim goes over an ONNX file.
    """

    format: str = 'onnx'
    size: tuple[int, int] | None = None
    batch: int = 1
    dynamic: Collection[str] = ()
    opset: int = 18
    paste: bool = False
    slim: bool = False

    def check(self) -> None:
        """Refuse what no model has.

        Raises:
            InputError, ExportError: with what to do.
        """
        if self.format not in SUFFIXES:
            raise InputError(f'--format is {self.format}; expected one of {", ".join(SUFFIXES)}.')
        if self.size is not None and min(self.size) < 1:
            raise InputError(f'--size is {self.size[0]} {self.size[1]}; expected height and width of at least 1 pixel.')
        if self.batch < 1:
            raise InputError(f'--batch is {self.batch}; expected at least 1.')
        if self.batch > 1 and 'batch' in self.dynamic:
            raise InputError(f'--batch {self.batch} and --dynamic batch contradict each other: give one of them.')
        if self.slim and self.format != 'onnx':
            raise InputError('--slim is for --format onnx.')
        check_opset(self.opset)
        check_libraries(self.format)
        if self.slim:
            needed('onnxslim', '--slim')


class ModelExport:
    """A model, traced once, and written in one format or another.

    Args:
        config: A name of the zoo, path of a config, or `Config`.
        checkpoint: Weights, all of which must fit; None for those that the zoo has, 'random' for none.
        options: How it is exported.
        cfg_options: {dotted key: value} merged into the config.

    Attributes:
        cfg, model: Of the config, in evaluation mode on the CPU.
        wrapped: The module that is traced.
        description: What the file says of itself.

    Raises:
        InputError, CheckpointError, ExportError: something given cannot be used, or the model cannot be exported.
    """

    def __init__(
        self,
        config: Any,
        checkpoint: str | Path | None,
        options: ExportOptions,
        cfg_options: dict[str, Any] | None = None,
    ):
        options.check()
        self.options = options
        self.model = load_model(config, checkpoint or RANDOM, 'cpu', cfg_options)
        self.cfg = self.model.cfg
        size = options.size or default_size(self.cfg, self.model)
        any_size = 'size' in options.dynamic
        self.wrapped = _wrapping(self.cfg).wrap(self.model, size, options.paste, any_size)
        self.wrapped.module.eval()
        classes = tuple(self.model.dataset_meta.get('classes') or ())
        self.description = _description(self.cfg, self.model, self.wrapped, size, options, classes)
        self._program: ExportedProgram | None = None
        self._onnx_program: torch.onnx.ONNXProgram | None = None

    @property
    def program(self) -> ExportedProgram:
        """The graph of PyTorch's operators."""
        if self._program is None:
            description = self.description
            self._program = trace(
                self.wrapped, (description.height, description.width), description.batch or None, description.any_size
            )
        return self._program

    @property
    def onnx_program(self) -> torch.onnx.ONNXProgram:
        """The graph in ONNX."""
        if self._onnx_program is None:
            self._onnx_program = to_onnx(self.program, self.description, self.options.opset)
        return self._onnx_program

    def write(self, out: str | Path) -> list[Path]:
        """Write the file.

        Returns:
            It, and what has to lie beside it.
        """
        out = Path(out)
        if self.options.format == 'torch':
            return save_torch(self.program, out, self.description)
        if self.options.format == 'onnx':
            files = save_onnx(self.onnx_program, out)
            if self.options.slim:
                slim_onnx(out)
            return files
        with tempfile.TemporaryDirectory() as folder:
            between = Path(folder, 'model.onnx')
            save_onnx(self.onnx_program, between)
            return save_openvino(between, out, self.description)


def output_path(out: str | Path | None, config: Any, options: ExportOptions, int8: bool = False) -> Path:
    """Where the file goes: beside nothing else of its name, by default NAME.onnx of the config in the current folder.

    Raises:
        InputError: its ending is not that of the format, or nothing can be written there.
    """
    suffix = SUFFIXES[options.format]
    if out is None:
        name = getattr(config, 'filename', None) or config
        out = f'{Path(str(name)).stem}{"-int8" if int8 else ""}{suffix}'
    if Path(out).suffix != suffix:
        raise InputError(f'--out {out}: expected a name that ends with {suffix}, for --format {options.format}.')
    check_output_file(out, '--out')
    return Path(out)


def default_size(cfg: Any, model: torch.nn.Module) -> tuple[int, int]:
    """Height and width that hold every image of the config's test set: a window of a segmentor, else the largest scale
    of the pipeline, padded as the preprocessor pads.

    Raises:
        InputError: the config does not say it.
    """
    if cfg.default_scope == 'mmseg':
        size = (cfg.model.get('test_cfg') or {}).get('crop_size') or getattr(model.data_preprocessor, 'size', None)
        if size is not None:
            return tuple(size)
    scales = [step.get('scale') for step in test_dataset(cfg).get('pipeline') or () if step.get('scale')]
    if not scales:
        raise InputError('The config does not say how large images are: give --size HEIGHT WIDTH.')
    scale = (scales[-1], scales[-1]) if isinstance(scales[-1], int) else scales[-1]
    divisor = getattr(model.data_preprocessor, 'pad_size_divisor', 1)
    side = -(-max(scale) // divisor) * divisor
    return side, side


def _wrapping(cfg: Any) -> Any:
    # mmdet and mmseg are imported each for itself.
    name = {'mmdet': 'detection.wrapping', 'mmseg': 'segmentation'}.get(cfg.default_scope)
    if name is None:
        raise InputError(f'default_scope is {cfg.default_scope!r}; what can be exported is models of mmdet and mmseg.')
    return importlib.import_module(f'mmvitdense.export.{name}')


def _description(
    cfg: Any,
    model: torch.nn.Module,
    wrapped: Wrapped,
    size: tuple[int, int],
    options: ExportOptions,
    classes: tuple[str, ...],
) -> Description:
    pixels = wrapped.module.pixels
    padding = (0.0, 0.0, 0.0) if pixels.mean is None else tuple(pixels.mean.flatten().tolist())
    padding = padding * 3 if len(padding) == 1 else padding
    return Description(
        task=wrapped.task,
        inputs=wrapped.inputs,
        outputs=wrapped.outputs,
        height=size[0],
        width=size[1],
        batch=0 if 'batch' in options.dynamic else options.batch,
        any_size='size' in options.dynamic,
        multiple=wrapped.patch,
        padding=padding if pixels.order is None else padding[::-1],
        classes=tuple(classes),
        mask_thr=float(getattr(wrapped.module, 'mask_thr', 0.5)),
        test_cfg=wrapped.test_cfg,
        made_by={'mmvitdense': mmvitdense.__version__, 'torch': torch.__version__},
    )
