"""Predict every image at every depth of an early-exit parent and write its PQ or mIoU, for its gate.

python tools/make_exit_scores.py configs/eco_m2f/NAME_parent.py parent.pth --out scores.json
"""

from __future__ import annotations

import argparse
import sys

from mmvitdense.apis.arguments import add_cfg_options, add_debug
from mmvitdense.apis.errors import run_tool


def main() -> int:
    """Parse the command line and predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a config of EarlyExitMask2Former or EarlyExitEncoderDecoder')
    parser.add_argument('checkpoint', help='weights of the parent')
    parser.add_argument('--out', required=True, metavar='FILE.json', help='where the scores go')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='images (default: train)')
    parser.add_argument('--device', help='as for torch (default: a GPU where there is one)')
    add_cfg_options(parser)
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: _make(arguments), arguments.debug)


def _make(arguments: argparse.Namespace) -> int:
    from mmvitdense.apis.exit_scores import make_exit_scores

    scores = make_exit_scores(
        arguments.config,
        arguments.checkpoint,
        arguments.out,
        split=arguments.split,
        device=arguments.device,
        cfg_options=arguments.cfg_options,
    )
    means = [sum(column) / len(scores) for column in zip(*scores.values(), strict=True)]
    print(f'{len(scores)} images in {arguments.out}; mean quality by depth: {", ".join(f"{m:.4f}" for m in means)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
