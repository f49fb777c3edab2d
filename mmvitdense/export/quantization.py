"""ONNX files in 8 bits, by onnxruntime's static quantisation."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmvitdense.whole_files import written_whole

from .description import KEY
from .errors import ExportError
from .optional import needed
from .runtimes import Arrays

_OPERATORS = ['Conv', 'ConvTranspose', 'Gemm', 'MatMul']
"""What is computed in 8 bits: where the time goes. Norms, softmax, boxes, suppression and sampling stay in float32."""


def quantize(source: Path, target: Path, inputs: Iterable[Arrays]) -> None:
    """Write a file whose products of matrices and convolutions are in 8 bits, as pairs of QuantizeLinear and
    DequantizeLinear around them, weights for each channel.

    Args:
        source: The file in float32.
        target: The file to write.
        inputs: Inputs of the file, of images like those that it will see, by which the ranges of values are found.

    Raises:
        ExportError: onnxruntime cannot do it.
    """
    needed('onnx', '--int8')
    needed('onnxruntime', '--int8')
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Arrays] = iter(inputs)

        def get_next(self) -> Arrays | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder, written_whole(target) as temporary, _quiet():
        prepared = Path(folder, 'prepared.onnx')
        try:
            # Shapes of what is found in an image are not known, and symbolic inference stops at them.
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(temporary),
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={'CalibTensorRangeSymmetric': False},
            )
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ExportError(f'onnxruntime cannot quantise the file: {" ".join(str(error).split())[:300]}') from error
        _describe(source, temporary)


def _describe(source: Path, target: Path) -> None:
    """Take over what the file says of itself."""
    onnx = needed('onnx', '--int8')
    kept = {entry.key: entry.value for entry in onnx.load(source, load_external_data=False).metadata_props}
    kept[KEY] = json.dumps({**json.loads(kept[KEY]), 'precision': 'int8'})
    model = onnx.load(target)
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, target)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
