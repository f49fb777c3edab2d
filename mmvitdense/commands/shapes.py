"""Write the built-in data set of coloured shapes: images, COCO instances, COCO panoptic segments and semantic maps."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

EXAMPLE = 'mmvitdense shapes --root data/shapes --training 500 --validation 100'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('--root', default='data/shapes', metavar='DIR', help='folder to create (default: data/shapes)')
    parser.add_argument('--training', type=int, default=400, metavar='N', help='training images (default: 400)')
    parser.add_argument('--validation', type=int, default=100, metavar='N', help='validation images (default: 100)')
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        default=[128],
        metavar='PIXELS',
        help='height and width, or one for both (default: 128)',
    )
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same data (default: 0)')
    parser.add_argument(
        '--objects',
        type=int,
        nargs=2,
        default=[1, 5],
        metavar=('MIN', 'MAX'),
        help='objects in an image (default: 1 to 5)',
    )
    parser.add_argument(
        '--spliced',
        action='store_true',
        help='copy a part of another picture into each, and write pictures and masks of these parts alone',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a data set that this command wrote')


def run(arguments: argparse.Namespace) -> int:
    """Write, and say where."""
    from mmvitdense.apis.errors import InputError
    from mmvitdense.datasets.shapes import write_shapes

    # A terminated run cleans up after itself like an interrupted one.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        root = (
            _spliced(arguments)
            if arguments.spliced
            else write_shapes(
                arguments.root,
                num_training=arguments.training,
                num_validation=arguments.validation,
                image_size=arguments.size[0] if len(arguments.size) == 1 else tuple(arguments.size),
                seed=arguments.seed,
                objects=tuple(arguments.objects),
                overwrite=arguments.overwrite,
            )
        )
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f'{arguments.training} training and {arguments.validation} validation images are in {root}')
    return 0


def _spliced(arguments: argparse.Namespace) -> Path:
    from mmvitdense.datasets.spliced_shapes import write_spliced_shapes

    if len(arguments.size) != 1 or arguments.overwrite:
        raise ValueError('--spliced takes one --size and no --overwrite.')
    return write_spliced_shapes(
        arguments.root, arguments.training, arguments.validation, arguments.size[0], arguments.seed
    )
