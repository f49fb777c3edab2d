"""Convert published ViT weights to PlainViT's names, or to timm's, from file to file.

A config does the same in memory: init_cfg=dict(type='ViTPretrained', checkpoint=FILE).
"""

from __future__ import annotations

import argparse

from mmengine.config import DictAction

from mmvitdense.apis.arguments import add_refetch

EXAMPLE = 'mmvitdense convert mae_pretrain_vit_base.pth vit.safetensors --dry-run'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('source', nargs='?', help='checkpoint of any known format, a file or an http(s) address')
    parser.add_argument('target', nargs='?', help='file to write, .pth or .safetensors')
    parser.add_argument('--to', default='mmvitdense', metavar='LAYOUT', help='mmvitdense (default) or timm')
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
    from mmvitdense.apis.convert import check_target, convert_file, list_formats, nested, write_checkpoint

    if arguments.list:
        print(list_formats())
        return 0
    _check_paths(arguments)
    if arguments.target is not None and not arguments.dry_run:
        check_target(arguments.source, arguments.target)
    options = nested(arguments.options or {})
    conversion = convert_file(
        arguments.source, arguments.to, arguments.num_heads, options, arguments.ema, arguments.trunk
    )
    print(conversion)
    if not arguments.dry_run:
        write_checkpoint(conversion.weights, arguments.target, conversion.record)
        print(f'written: {arguments.target}')
    return 0


def _check_paths(arguments: argparse.Namespace) -> None:
    from mmvitdense.apis.convert import SUFFIXES
    from mmvitdense.apis.errors import InputError

    if arguments.source is None or (arguments.target is None and not arguments.dry_run):
        raise InputError('Give a file to read and a file to write, or --dry-run, or --list.')
    if arguments.target is not None and not arguments.target.endswith(SUFFIXES):
        raise InputError(f"The output must end with {' or '.join(SUFFIXES)}, got '{arguments.target}'.")
