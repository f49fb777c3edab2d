"""Command-line arguments that several tools share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

from mmvitdense.datasets.outside import OUTSIDE
from mmvitdense.downloads import REFETCH


class CfgOptions(DictAction):
    """`--cfg-options KEY=VALUE ...` as in all of OpenMMLab; what cannot be parsed is an error of the command line.

    Numbers, True, False and None are what they look like, `a,b`, `[a,b]` and `(a,b)` lists and tuples, nested ones
    too, and all else is text. As in mmengine, quotes around a value or an element do not count. Unlike there, a space
    inside of text stays (`data_root="my data"`, also as `["a b",c]`).
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Parse the pairs into a dict."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, separator, value = pair.partition('=')
            if not separator or not key.strip():
                parser.error(f'--cfg-options: expected KEY=VALUE, got {pair!r}')
            try:
                options[key.strip()] = parse_value(value)
            except ValueError as error:
                parser.error(f'--cfg-options {key}: {error}')
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """The value that `--cfg-options KEY=text` gives.

    Raises:
        ValueError: Brackets do not match.
    """
    text = text.strip().strip('\'"').strip()
    parts = _split(text)
    for opening, closing, kind in (('(', ')', tuple), ('[', ']', list)):
        if len(parts) == 1 and text.startswith(opening) and text.endswith(closing):
            inner = _split(text[1:-1])
            return kind(parse_value(part) for part in (inner[:-1] if not inner[-1].strip() else inner))
    if len(parts) == 1:
        return DictAction._parse_int_float_bool(text)
    return [parse_value(part) for part in (parts[:-1] if not parts[-1].strip() else parts)]


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets."""
    parts, depth, start = [], [], 0
    for place, letter in enumerate(text):
        if letter in '([':
            depth.append(')' if letter == '(' else ']')
        elif letter in ')]':
            if not depth or depth.pop() != letter:
                raise ValueError(f'the brackets of {text!r} do not match')
        elif letter == ',' and not depth:
            parts.append(text[start:place])
            start = place + 1
    if depth:
        raise ValueError(f'the brackets of {text!r} do not match')
    return [*parts, text[start:]]


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


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add `--debug`."""
    parser.add_argument('--debug', action='store_true', help='show the traceback of an error')


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


_AMP_TYPES = ('float16', 'bfloat16')
_TYPE_OF_CONFIG = 'config'


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add `--amp` and `--tf32`; the arguments of the parser have to go through `join_amp`."""
    parser.add_argument(
        '--amp',
        nargs='?',
        default=False,
        type=_amp_type,
        metavar='float16|bfloat16',
        help='mixed precision (default of the type: what the config names, else float16; on a CPU bfloat16)',
    )
    parser.add_argument(
        '--tf32', action='store_true', help='let products in float32 round to TF32 on an NVIDIA GPU, for speed'
    )


def _amp_type(text: str) -> str | bool:
    if text not in (_TYPE_OF_CONFIG, *_AMP_TYPES):
        raise argparse.ArgumentTypeError(f'expected {" or ".join(_AMP_TYPES)}, or no type, got {text!r}')
    return text == _TYPE_OF_CONFIG or text


def join_amp(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments in which `--amp` is one word with its type, so that it takes no other for it."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == '--amp' and argument in _AMP_TYPES:
            joined[-1] = f'--amp={argument}'
        else:
            joined.append(argument)
    return [f'--amp={_TYPE_OF_CONFIG}' if argument == '--amp' else argument for argument in joined]


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


def take_local_rank(arguments: argparse.Namespace) -> None:
    """Put the local rank, which old launchers give as an argument, where mmengine looks for it."""
    os.environ.setdefault('LOCAL_RANK', str(arguments.local_rank))
