"""Count the operations and parameters of a config's model, by part, without computing anything.

One multiply-add is one MAC and two FLOPs, as torch counts; most papers call the MACs FLOPs.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options

EXAMPLE = 'mmvitdense flops mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py --size 1024 1024'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, a name of the zoo, or mmvitdense::vitdet/NAME.py')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the image (default: that of the config's tests)",
    )
    parser.add_argument('--json', action='store_true', help='print plain data, for programs')
    add_cfg_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Count and print."""
    import json

    from mmvitdense.apis.flops import as_data, as_table, model_cost

    cost = model_cost(arguments.config, arguments.size and tuple(arguments.size), arguments.cfg_options)
    print(json.dumps(as_data(cost), indent=2) if arguments.json else as_table(cost))
    return 0
