"""Command-line arguments that several tools share."""

from __future__ import annotations

import argparse
import os
from typing import Any

from mmengine.config import DictAction

from mmvitdense.datasets.checks.paths import OUTSIDE
from mmvitdense.downloads import REFETCH


class CfgOptions(DictAction):
    """`--cfg-options KEY=VALUE ...` as in all of OpenMMLab; what cannot be parsed is an error of the command line."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Parse the pairs into a dict."""
        for pair in values:
            if '=' not in pair:
                parser.error(f'--cfg-options: expected KEY=VALUE, got {pair!r}')
        try:
            super().__call__(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'--cfg-options: {error}')


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change the config, for example train_dataloader.batch_size=4 model.backbone.out_indices="(2,5)"; '
        'elements of lists by number (val_evaluator.0.metric=bbox)',
    )


class _Switch(argparse.Action):
    """Sets the environment variable `const` to 1, for whatever in the tool follows it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        os.environ[self.const] = '1'


def add_refetch(parser: argparse.ArgumentParser) -> None:
    """Add `--refetch`."""
    parser.add_argument(
        '--refetch',
        nargs=0,
        action=_Switch,
        const=REFETCH,
        help='fetch addresses again that were fetched before (they may change)',
    )


def add_outside_files(parser: argparse.ArgumentParser) -> None:
    """Add `--outside-files`."""
    parser.add_argument(
        '--outside-files',
        nargs=0,
        action=_Switch,
        const=OUTSIDE,
        help='allow annotation files to name files outside of the folders of the data, such as ../x.jpg or /x.jpg',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training and testing share, such as `--work-dir`, `--launcher` and `--check-images`."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config name>)')
    add_cfg_options(parser)
    add_refetch(parser)
    add_outside_files(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run (default: none)',
    )
    parser.add_argument(
        '--check-images',
        choices=['sample', 'all'],
        default='sample',
        help='which images to decode before the run; those found whole are remembered (default: sample)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def parse_run_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; the local rank goes to where mmengine looks for it."""
    arguments = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(arguments.local_rank))
    return arguments
