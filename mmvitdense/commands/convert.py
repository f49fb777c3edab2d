"""Convert published ViT weights to PlainViT's names, and back to those of other libraries.

A config does the same in memory: init_cfg=dict(type='ViTPretrained', checkpoint=FILE). The exit code is 1 where the
weights have the names of a model, and no model takes them: they lack some, or have others or other shapes.
"""

from __future__ import annotations

import argparse
import re

from mmengine.config import DictAction

from mmvitdense.apis.arguments import add_refetch

_UNITS = {'KB': 10**3, 'MB': 10**6, 'GB': 10**9}

EXAMPLE = 'mmvitdense convert mae_pretrain_vit_base.pth vit.safetensors --dry-run'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('source', nargs='?', help='checkpoint of any known format, a file or an http(s) address')
    parser.add_argument('target', nargs='?', help='file to write, .pth or .safetensors; a folder for transformers')
    parser.add_argument(
        '--to',
        default='mmvitdense',
        metavar='LAYOUT',
        help='mmvitdense (default), or timm, transformers, detectron2, mmpretrain, official (the repository of the '
        'pre-training) where these have a model that computes the same',
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16', 'bfloat16'],
        help='type of the weights written; their error is printed',
    )
    parser.add_argument(
        '--shard-size',
        type=size_in_bytes,
        metavar='SIZE',
        help='split safetensors into files of this size, such as 2GB',
    )
    parser.add_argument('--num-heads', type=int, help='attention heads, where the size of the model does not imply it')
    parser.add_argument(
        '--options',
        nargs='+',
        action=DictAction,
        metavar='NAME=VALUE',
        help='what is known of the model and not in the weights, such as n_points=8 vit.window_size=14',
    )
    parser.add_argument(
        '--ema', action='store_true', help="take the copies 'ema_*' of old hooks instead of the weights"
    )
    parser.add_argument(
        '--trunk',
        metavar='FILE',
        help='the ViT that a file lacks: joined to a head or decoder, added to differences (none: they are whole)',
    )
    parser.add_argument('--dry-run', action='store_true', help='print what would be converted, and write nothing')
    parser.add_argument('--list', action='store_true', help='list the known formats')
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert and write, or list."""
    from mmvitdense.apis.convert import convert_file, list_formats, nested
    from mmvitdense.apis.weight_files import check_target, write_conversion

    if arguments.list:
        print(list_formats())
        return 0
    _check_paths(arguments)
    if arguments.target is not None:
        check_target(arguments.source, arguments.target, arguments.to, arguments.shard_size)
    options = nested(arguments.options or {})
    conversion = convert_file(
        arguments.source, arguments.to, arguments.num_heads, options, arguments.ema, arguments.trunk
    )
    print(conversion)
    if not arguments.dry_run:
        print('\n'.join(write_conversion(conversion, arguments.target, arguments.dtype, arguments.shard_size)))
    if conversion.misfit is not None:
        print('No model takes these weights, as said above: exit code 1.')
        return 1
    return 0


def size_in_bytes(text: str) -> int:
    """The number of bytes that '500MB' or '2GB' stands for.

    Raises:
        argparse.ArgumentTypeError: It stands for none.
    """
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMG]B)', text.strip(), re.IGNORECASE)
    if match is None or (size := int(float(match[1]) * _UNITS[match[2].upper()])) < 1:
        raise argparse.ArgumentTypeError(f'expected a size such as 500MB or 2GB, got {text!r}')
    return size


def _check_paths(arguments: argparse.Namespace) -> None:
    from mmvitdense.apis.convert import LAYOUTS
    from mmvitdense.apis.errors import InputError

    if arguments.source is None or (arguments.target is None and not arguments.dry_run):
        raise InputError('Give a file to read and a file to write, or --dry-run, or --list.')
    if arguments.to not in LAYOUTS:
        raise InputError(f"The layout must be one of {', '.join(LAYOUTS)}, got '{arguments.to}'.")
