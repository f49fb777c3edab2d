"""Say what a file of weights is, what a config would take from it, and whether another holds the same features.

The file may be .pth, .safetensors (also in parts, by their index), .npz or .pkl, a folder with one, an http(s)
address, or OWNER/NAME on the Hugging Face Hub. The exit code is 0 where the file is known, fits the config and holds
the same features as the other one; 1 where it does not, or has weights that are NaN, infinite, lacking or of shapes
that no model has; 2 where it cannot be read or is of no known layout.
"""

from __future__ import annotations

import argparse

from mmengine.config import DictAction

from mmvitdense.apis.arguments import add_cfg_options, add_refetch

EXAMPLE = (
    'mmvitdense doctor mae_pretrain_vit_base.pth --config mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('file', help='weights: a file, a folder, an http(s) address, or OWNER/NAME on the Hub')
    parser.add_argument('--config', help='say what the model of this config would take from the file')
    parser.add_argument('--compare', metavar='OTHER', help='say whether this file holds the same features')
    parser.add_argument(
        '--options',
        nargs='+',
        action=DictAction,
        metavar='NAME=VALUE',
        help='what is known of the model and not in the weights, such as num_heads=6',
    )
    parser.add_argument('--json', action='store_true', help='print plain data, for programs')
    add_cfg_options(parser)
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look, fit, compare and print."""
    import json
    from dataclasses import asdict

    from mmvitdense.apis.convert import nested
    from mmvitdense.apis.doctor import compare_weights, diagnose, fit_to_config, open_weights, report_as_text

    options = nested(arguments.options or {})
    file = open_weights(arguments.file)
    found = diagnose(file, options)
    fit = fit_to_config(file, arguments.config, arguments.cfg_options) if arguments.config else None
    other = compare_weights(file, open_weights(arguments.compare), options) if arguments.compare else None
    if arguments.json:
        parts = {'file': found, 'config': fit, 'comparison': other}
        plain = {name: None if part is None else asdict(part) for name, part in parts.items()}
        print(json.dumps(plain, indent=2, default=str, allow_nan=False))
    else:
        print(report_as_text(found, fit, other))
    wrong = found.not_finite or found.misfit or (fit is not None and not fit.fits)
    wrong = wrong or (other is not None and not other.same)
    return 1 if wrong else 0
