"""Print a config with all of its bases resolved, or write it as one file that stands alone.

The file can be opened by the tools of mmdet, mmseg and mmengine, which do not know `_base_ = 'mmvitdense::...'`.
"""

from __future__ import annotations

import argparse
import sys

from mmvitdense.apis.arguments import add_cfg_options, add_debug
from mmvitdense.apis.errors import run_tool


def main() -> int:
    """Parse the command line and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a config file, or a name such as mmvitdense::vitdet/NAME.py')
    parser.add_argument('--save-path', metavar='FILE.py', help='write to this file instead of the screen')
    add_cfg_options(parser)
    add_debug(parser)
    arguments = parser.parse_args()
    return run_tool(lambda: _print(arguments), arguments.debug)


def _print(arguments: argparse.Namespace) -> None:
    from mmvitdense.apis.standalone import standalone_config, write_standalone_config

    if arguments.save_path is None:
        print(standalone_config(arguments.config, arguments.cfg_options))
    else:
        write_standalone_config(arguments.config, arguments.save_path, arguments.cfg_options)
        print(arguments.save_path)


if __name__ == '__main__':
    sys.exit(main())
