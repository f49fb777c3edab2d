"""Write the model of a training run as a folder for others: weights, config as data, classes, model card.

The optimizer and everything else of the run is left out; where the run kept an average of the weights (EMA), the
averaged ones are written, those that `test` evaluates. Predict with such a folder, or
upload it to the Hugging Face Hub.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options, add_refetch

EXAMPLE = 'mmvitdense publish work_dirs/mine/mine.py work_dirs/mine/iter_600.pth mine --licence apache-2.0'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='the config of the run, a file or a name such as mmvitdense::vitdet/NAME.py')
    parser.add_argument('checkpoint', help='its weights, a file or an http(s) address')
    parser.add_argument('folder', help='where to write: a new or an empty folder')
    parser.add_argument('--name', help='of the model (default: that of the config)')
    parser.add_argument('--licence', metavar='NAME', help='of the weights, such as apache-2.0, for the card')
    parser.add_argument('--results', metavar='FILE.json', help='metrics for the card, as test --json writes them')
    parser.add_argument(
        '--max-shard-size', default='5GB', metavar='SIZE', help='weights above it become several files (default: 5GB)'
    )
    parser.add_argument(
        '--hash', action='store_true', help='name the weights NAME-HASH.safetensors, by 8 digits of their SHA-256'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a model that was published there')
    parser.add_argument('--push-to-hub', metavar='OWNER/NAME', help='upload the folder to the Hugging Face Hub')
    parser.add_argument('--private', action='store_true', help='make a new repository there a private one')
    add_cfg_options(parser)
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write, maybe upload, and say where."""
    from mmvitdense.apis.errors import InputError
    from mmvitdense.apis.pretrained import publish_model, push_to_hub
    from mmvitdense.apis.pretrained.results import read_results

    if arguments.private and not arguments.push_to_hub:
        raise InputError('--private is for a repository on the Hub: add --push-to-hub OWNER/NAME.')
    folder = publish_model(
        arguments.config,
        arguments.checkpoint,
        arguments.folder,
        cfg_options=arguments.cfg_options,
        name=arguments.name,
        licence=arguments.licence,
        results=read_results(arguments.results) if arguments.results else None,
        max_shard_size=arguments.max_shard_size,
        hash_in_name=arguments.hash,
        overwrite=arguments.overwrite,
    )
    print(f'written: {folder}')
    if arguments.push_to_hub:
        print(f'uploaded: {push_to_hub(folder, arguments.push_to_hub, private=arguments.private or None)}')
    return 0
