"""Export with proof: what `mmvitdense export` does."""

from __future__ import annotations

import dataclasses
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from mmvitdense.export.divergence import first_divergence
from mmvitdense.export.quantization import quantize
from mmvitdense.export.runtimes import OnnxRuntimeSession, Session, open_file, runtime_of
from mmvitdense.export.timing import seconds_of_file, seconds_of_pytorch

from .errors import InputError
from .export_images import fit_pipeline, open_images
from .export_model import ExportOptions, ModelExport, output_path
from .export_proof import Limits, Proof, inputs_of, prove
from .files import check_output_file, write_json

_TOLERANCE = 1e-3
"""Share of the largest value from which on a result inside of a file is wrong."""
_INT8_METRIC = 0.02
"""Largest difference of AP, PQ and mIoU that a file of 8 bits may have, unless another is given."""
_CALIBRATING = 32
"""Images by which the ranges of values are found."""


@dataclasses.dataclass(frozen=True)
class ProofOptions:
    """How a file is proved.

    Attributes:
        images: Folder of images, or one image; None for the test set of the config.
        num_images: How many of them at most.
        runtime: What runs the file; None for that of the format.
        max_metric, max_box: Limits in the place of those of `Limits`.
        calls: How often PyTorch and the file are timed; 0 for not at all.
        report: A .json file for what was found.
    """

    images: str | Path | None = None
    num_images: int = 50
    runtime: str | None = None
    max_metric: float | None = None
    max_box: float | None = None
    calls: int = 0
    report: str | Path | None = None

    def check(self) -> None:
        """Refuse numbers that mean nothing, and a report that cannot be written.

        Raises:
            InputError: with what to do.
        """
        if self.num_images < 1:
            raise InputError(f'--num-images is {self.num_images}; expected at least 1.')
        if self.calls < 0:
            raise InputError(f'--speed is {self.calls}; expected how many calls are timed.')
        for option, value in (('--max-metric', self.max_metric), ('--max-box', self.max_box)):
            if value is not None and not value >= 0:
                raise InputError(f'{option} is {value}; expected a number of at least 0.')
        if self.report is not None:
            check_output_file(self.report, '--report')

    def limits(self, int8: bool) -> Limits:
        """From which difference on a file is wrong. In 8 bits boxes and maps differ, and the metric counts."""
        limits = Limits(metric=_INT8_METRIC, box=math.inf, tensor=math.inf, unmatched=math.inf) if int8 else Limits()
        given = {'metric': self.max_metric, 'box': self.max_box}
        return dataclasses.replace(limits, **{name: value for name, value in given.items() if value is not None})


def export_with_proof(
    config: Any,
    checkpoint: str | Path | None,
    options: ExportOptions,
    proof_options: ProofOptions | None = None,
    out: str | Path | None = None,
    check: str | Path | None = None,
    int8: bool = False,
    calibration: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> list[str]:
    """Export a model, run the file beside PyTorch, and say how far they are apart.

    Args:
        config: A name of the zoo, path of a config, or `Config`.
        checkpoint: Weights, all of which must fit; None for those that the zoo has, 'random' for none.
        options: How it is exported.
        proof_options: How it is proved; None for a file without proof.
        out: Where the file goes; by default NAME.onnx and the like in the current folder.
        check: A file that was exported before with the same options: it is proved, and nothing is written.
        int8: Whether the file is quantised to 8 bits.
        calibration: Folder of images for that; by default those of the proof.
        cfg_options: {dotted key: value} merged into the config.

    Returns:
        What is above a limit, a sentence each, and the first node that diverges; nothing where the file is right.

    Raises:
        InputError, DataError, CheckpointError, ExportError: something given cannot be used.
    """
    if int8 and options.format != 'onnx':
        raise InputError('--int8 is for --format onnx, whose files OpenVINO reads too.')
    path = Path(check) if check is not None else output_path(out, config, options, int8)
    if proof_options is not None:
        proof_options.check()
        runtime_of(path, proof_options.runtime)
    export = ModelExport(config, checkpoint, options, cfg_options)
    fit_pipeline(export.cfg, export.description)
    if check is None:
        files = _quantized(export, path, calibration, proof_options) if int8 else export.write(path)
        for file in files:
            print(f'{file}: {file.stat().st_size / 1e6:.1f} MB')
    if proof_options is None:
        return []
    session = open_file(path, proof_options.runtime)
    limits = proof_options.limits(session.description.precision == 'int8')
    with open_images(export.cfg, proof_options.images, proof_options.num_images) as source:
        proof = prove(export, session, source, limits)
    print('\n'.join(proof.lines()))
    speed = _speed(export, session, proof, proof_options.calls) if proof_options.calls else {}
    failures = list(proof.failures)
    if failures:
        failures.append(_node(export, session, proof))
        print('\n'.join(['The file is not the model:', *failures]), file=sys.stderr)
    else:
        print('The file is right.')
    if proof_options.report is not None:
        content = {**proof.as_dict(), 'file': str(path), 'failures': failures, 'seconds': speed}
        write_json(proof_options.report, content)
    return failures


def _quantized(
    export: ModelExport, path: Path, calibration: str | Path | None, proof_options: ProofOptions | None
) -> list[Path]:
    """Write a file of 8 bits, calibrated with up to 32 images."""
    source = calibration if calibration is not None or proof_options is None else proof_options.images
    with tempfile.TemporaryDirectory() as folder, open_images(export.cfg, source, _CALIBRATING) as images:
        between = Path(folder, 'model.onnx')
        export.write(between)
        quantize(between, path, (inputs_of(export.description, data) for data in images))
    return [path]


def _speed(export: ModelExport, session: Session, proof: Proof, calls: int) -> dict[str, float]:
    """Seconds of a call of PyTorch and of the file."""
    names = ['pytorch', session.runtime]
    seconds = [
        seconds_of_pytorch(export.wrapped, proof.inputs, calls),
        seconds_of_file(session.path, session.runtime, proof.inputs, calls),
    ]
    print(
        f'  a call on {torch.get_num_threads()} threads, median of {calls}: PyTorch {seconds[0] * 1e3:.0f} ms, '
        f'{session.runtime} {seconds[1] * 1e3:.0f} ms ({seconds[1] / seconds[0]:.2f} of it)'
    )
    return dict(zip(names, seconds))


def _node(export: ModelExport, session: Session, proof: Proof) -> str:
    """Which node of a wrong file is the first that is wrong."""
    if not isinstance(session, OnnxRuntimeSession):
        return f'{session.runtime} does not give the results of nodes: look for the wrong one in an ONNX file.'
    if session.description.precision == 'int8':
        return 'In 8 bits every node differs: calibrate with more images, or export in float32.'
    found = first_divergence(session.path, export.onnx_program, proof.inputs, _TOLERANCE)
    if found is None:
        return f'No node is more than {_TOLERANCE:g} of its largest value away from PyTorch.'
    return str(found)
