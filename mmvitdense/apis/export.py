"""Export with proof: what `mmvitdense export` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mmvitdense.export.divergence import first_divergence
from mmvitdense.export.runtimes import OnnxRuntimeSession, Session, open_file

from .export_images import fit_pipeline, open_images
from .export_model import ExportOptions, ModelExport, output_path
from .export_proof import Limits, Proof, prove
from .files import check_output_file, write_json

_TOLERANCE = 1e-3
"""Share of the largest value from which on a result inside of a file is wrong."""


def export_with_proof(
    config: Any,
    checkpoint: str | Path | None,
    options: ExportOptions,
    out: str | Path | None = None,
    check: str | Path | None = None,
    images: str | Path | None = None,
    num_images: int = 50,
    proves: bool = True,
    runtime: str | None = None,
    max_metric: float | None = None,
    max_box: float | None = None,
    report: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> list[str]:
    """Export a model, run the file beside PyTorch, and say how far they are apart.

    Args:
        config: Path, name or ``Config``.
        checkpoint: Weights, all of which must fit.
        options: How it is exported.
        out: Where the file goes; by default NAME.onnx and the like in the current folder.
        check: A file that was exported before with the same options: it is proved, and nothing is written.
        images: Folder of images, or one image; None for the test set of the config.
        num_images: How many of them at most.
        proves: Whether the file is compared.
        runtime: What runs it; by default that of the format.
        max_metric, max_box: Limits in the place of those of ``Limits``.
        report: A .json file for what was found.
        cfg_options: {dotted key: value} merged into the config.

    Returns:
        What is above a limit, a sentence each, and the first node that diverges; nothing where the file is right.

    Raises:
        InputError, DataError, CheckpointError, ExportError: something given cannot be used.
    """
    path = Path(check) if check is not None else output_path(out, config, options)
    if report is not None:
        check_output_file(report, '--report')
    export = ModelExport(config, checkpoint, options, cfg_options)
    if check is None:
        for file in export.write(path):
            print(f'{file}: {file.stat().st_size / 1e6:.1f} MB')
    if not proves:
        return []
    session = open_file(path, runtime)
    given = {'metric': max_metric, 'box': max_box}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    fit_pipeline(export.cfg, export.description)
    with open_images(export.cfg, images, num_images) as source:
        proof = prove(export, session, source, limits)
    print('\n'.join(proof.lines()))
    failures = list(proof.failures)
    if failures:
        failures.append(_node(export, session, proof))
        print('\n'.join(['The file is not the model:', *failures]), file=sys.stderr)
    else:
        print('The file is right.')
    if report is not None:
        write_json(report, {**proof.as_dict(), 'file': str(path), 'failures': failures})
    return failures


def _node(export: ModelExport, session: Session, proof: Proof) -> str:
    """Which node of a wrong file is the first that is wrong."""
    if not isinstance(session, OnnxRuntimeSession):
        return f'{session.runtime} does not give the results of nodes: look for the wrong one in an ONNX file.'
    found = first_divergence(session.path, export.onnx_program, proof.inputs, _TOLERANCE)
    if found is None:
        return f'No node is more than {_TOLERANCE:g} of its largest value away from PyTorch.'
    return str(found)
