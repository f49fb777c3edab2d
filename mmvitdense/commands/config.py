"""Print a config with all of its bases resolved, or write it as one file that stands alone.

The file can be opened by the tools of mmdet, mmseg and mmengine, which do not know `_base_ = 'mmvitdense::...'`.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options

EXAMPLE = 'mmvitdense config mmvitdense::vitdet/vitdet-b-mae_mask-rcnn_lsj-100e_coco.py --save-path standalone.py'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, or a name such as mmvitdense::vitdet/NAME.py')
    parser.add_argument('--save-path', metavar='FILE.py', help='write to this file instead of the screen')
    add_cfg_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print or write."""
    from mmvitdense.apis.standalone import standalone_config, write_standalone_config

    if arguments.save_path is None:
        print(standalone_config(arguments.config, arguments.cfg_options))
    else:
        write_standalone_config(arguments.config, arguments.save_path, arguments.cfg_options)
        print(arguments.save_path)
    return 0
