"""Fetch a published data set, check it, and unpack it to where the configs expect it.

What was interrupted goes on where it ended, what is there is left alone, and nothing is written over. Cityscapes asks
for the user of CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD, or in the terminal; neither is kept.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'mmvitdense download coco --dir data --parts val annotations'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('name', choices=['coco', 'lvis', 'ade20k', 'cityscapes'], help='which data set')
    parser.add_argument('--dir', default='data', metavar='DIR', help='where data sets lie (default: data)')
    parser.add_argument('--parts', nargs='+', metavar='PART', help='which archives of it (default: all)')
    parser.add_argument('--keep', action='store_true', help='keep the archives too')


def run(arguments: argparse.Namespace) -> int:
    """Fetch and say where it is."""
    from mmvitdense.apis.download_data import download_data

    root = download_data(arguments.name, arguments.dir, arguments.parts, arguments.keep)
    print(f'{arguments.name} is in {root}')
    return 0
