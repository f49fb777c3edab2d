"""Show what a model sees in an image or in a folder of images.

Writes DIR/vis/<image>.png, DIR/predictions.json and, for segmentation, DIR/labels/<image>.png. Of a folder all files
are taken that are images by their content; hidden ones are left out, links followed. Images that cannot be read or
predicted for are skipped, named and counted at the end; the exit code is then 1. After Ctrl-C it is 130, and
predictions.json holds what was done.
"""

from __future__ import annotations

import argparse
import sys

from mmvitdense.apis.arguments import add_cfg_options, add_debug, add_refetch
from mmvitdense.apis.errors import run_tool


def main() -> int:
    """Parse the command line and predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('input', help='an image, a folder (with its subfolders), or the http(s) address of an image')
    parser.add_argument('config', help='a config file, or a name such as mmvitdense::vitdet/NAME.py')
    parser.add_argument('checkpoint', help='weights of that config, a file or an http(s) address')
    parser.add_argument('--out-dir', default='outputs', metavar='DIR', help='where to write (default: outputs)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of a box (default: 0.3)')
    add_cfg_options(parser)
    add_refetch(parser)
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: _demo(arguments), arguments.debug)


def _demo(arguments: argparse.Namespace) -> int:
    from mmvitdense.apis.demo import run_demo

    return run_demo(
        arguments.input,
        arguments.config,
        arguments.checkpoint,
        out_dir=arguments.out_dir,
        device=arguments.device,
        score_thr=arguments.score_thr,
        cfg_options=arguments.cfg_options,
    )


if __name__ == '__main__':
    sys.exit(main())
