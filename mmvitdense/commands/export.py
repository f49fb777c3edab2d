"""Export a model to ONNX, OpenVINO or PyTorch's own format, and prove the file on images.

The file goes from pixels to results: it normalises, masks what is beside the image, suppresses boxes. After writing it
is run beside PyTorch on a folder of images, or on the test set of the config, and its outputs, detections and AP or
mIoU are compared. Above a limit the command fails and names the first node whose result is not that of PyTorch.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options

EXAMPLE = (
    'mmvitdense export mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py epoch_100.pth --out vitdet-b.onnx '
    '--images photos/'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, a name of the zoo, or mmvitdense::vitdet/NAME.py')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help="weights of that config, a file or an http(s) address, or 'random' (default: those of the zoo)",
    )
    parser.add_argument('--format', choices=['onnx', 'openvino', 'torch'], default='onnx', help='(default: onnx)')
    parser.add_argument('--out', metavar='FILE', help='default: the name of the config in the current folder')
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the images of the file (default: what holds every image of the config; a window of a segmentor)',
    )
    parser.add_argument('--batch', type=int, default=1, help='images in a call (default: 1)')
    parser.add_argument('--dynamic', nargs='+', choices=['batch', 'size'], default=(), help='what the file leaves open')
    parser.add_argument('--opset', type=int, default=18, help="version of ONNX's operators (default: 18)")
    parser.add_argument(
        '--paste',
        action='store_true',
        help='masks in the size of the image instead of the box, a label map instead of scores',
    )
    parser.add_argument('--slim', action='store_true', help='let onnxslim fold and merge nodes')
    parser.add_argument(
        '--check', metavar='FILE', help='write nothing, prove this file, exported with the same options'
    )
    parser.add_argument('--int8', action='store_true', help='quantise to 8 bits, calibrated with 32 images')
    parser.add_argument('--calibration', metavar='FOLDER', help='images for --int8 (default: those of the proof)')
    _add_proof(parser)
    add_cfg_options(parser)


def _add_proof(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('proof')
    group.add_argument('--images', metavar='FOLDER', help='images to compare on (default: the test set of the config)')
    group.add_argument('--num-images', type=int, default=50, help='how many at most (default: 50)')
    group.add_argument('--no-proof', action='store_true', help='write the file alone')
    group.add_argument('--runtime', choices=['onnxruntime', 'openvino', 'torch'], help='default: that of the format')
    group.add_argument(
        '--max-metric', type=float, help='largest difference of AP, PQ and mIoU (default: 0.001, --int8 0.02)'
    )
    group.add_argument('--max-box', type=float, help='largest difference of a box in pixels (default: 0.1)')
    group.add_argument('--speed', type=int, default=0, metavar='CALLS', help='time so many calls of both too')
    group.add_argument('--report', metavar='FILE.json', help='write what was found here too')


def run(arguments: argparse.Namespace) -> int:
    """Write and prove."""
    from mmvitdense.apis.export import ProofOptions, export_with_proof
    from mmvitdense.apis.export_model import ExportOptions

    options = ExportOptions(
        format=arguments.format,
        size=None if arguments.size is None else tuple(arguments.size),
        batch=arguments.batch,
        dynamic=tuple(arguments.dynamic),
        opset=arguments.opset,
        paste=arguments.paste,
        slim=arguments.slim,
    )
    proof_options = ProofOptions(
        images=arguments.images,
        num_images=arguments.num_images,
        runtime=arguments.runtime,
        max_metric=arguments.max_metric,
        max_box=arguments.max_box,
        calls=arguments.speed,
        report=arguments.report,
    )
    failures = export_with_proof(
        arguments.config,
        arguments.checkpoint,
        options,
        None if arguments.no_proof else proof_options,
        out=arguments.out,
        check=arguments.check,
        int8=arguments.int8,
        calibration=arguments.calibration,
        cfg_options=arguments.cfg_options,
    )
    return 1 if failures else 0
