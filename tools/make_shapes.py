"""Write the built-in data set of coloured shapes: images, COCO instances, COCO panoptic segments and semantic maps."""

from __future__ import annotations

import argparse
import signal
import sys

from mmvitdense.apis.arguments import add_debug
from mmvitdense.apis.errors import InputError, run_tool
from mmvitdense.datasets.shapes import write_shapes


def main() -> int:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--root', default='data/shapes', help='folder to create')
    parser.add_argument('--training', type=int, default=400, help='number of training images')
    parser.add_argument('--validation', type=int, default=100, help='number of validation images')
    parser.add_argument('--size', type=int, nargs='+', default=[128], help='height and width, or one for both')
    parser.add_argument('--seed', type=int, default=0, help='the same seed gives the same data')
    parser.add_argument(
        '--objects', type=int, nargs=2, default=[1, 5], metavar=('MIN', 'MAX'), help='objects in an image'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a data set that this tool wrote')
    add_debug(parser)
    arguments = parser.parse_args()
    # A terminated run cleans up after itself like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return run_tool(lambda: _make(arguments), arguments.debug)


def _make(arguments: argparse.Namespace) -> None:
    try:
        root = write_shapes(
            arguments.root,
            num_training=arguments.training,
            num_validation=arguments.validation,
            image_size=arguments.size[0] if len(arguments.size) == 1 else tuple(arguments.size),
            seed=arguments.seed,
            objects=tuple(arguments.objects),
            overwrite=arguments.overwrite,
        )
    except (ValueError, OSError) as error:
        raise InputError(str(error)) from error
    print(f'{arguments.training} training and {arguments.validation} validation images are in {root}')


if __name__ == '__main__':
    sys.exit(main())
