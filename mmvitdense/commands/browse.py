"""Draw what the training pipeline of a config produces: images after augmentation, with their labels.

Writes pictures, one a sample, and opens no window.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options, add_outside_files

EXAMPLE = 'mmvitdense browse mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py --output-dir pictures --num 4'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, or a name such as mmvitdense::vitdet/NAME.py')
    parser.add_argument('--output-dir', metavar='DIR', help='where to write (default: work_dirs/<config name>/browse)')
    parser.add_argument('--num', type=int, default=16, help='how many samples (default: 16)')
    add_cfg_options(parser)
    add_outside_files(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw, and print the name of each picture."""
    from mmvitdense.apis.config import config_name, load_config
    from mmvitdense.apis.errors import InputError
    from mmvitdense.apis.files import check_output_folder
    from mmvitdense.datasets.checks import check_data
    from mmvitdense.datasets.checks.source import find_sources
    from mmvitdense.visualization.browse import browse

    if arguments.num < 1:
        raise InputError(f'--num must be at least 1, got {arguments.num}.')
    cfg = load_config(arguments.config, arguments.cfg_options)
    if not cfg.get('train_dataloader'):
        raise InputError(f'{arguments.config} has no train_dataloader, so there is nothing to draw.')
    folder = arguments.output_dir or f'work_dirs/{config_name(arguments.config)}/browse'
    check_output_folder(folder, '--output-dir')
    # Data can be looked at before a model fits it.
    cfg.model = None
    check_data(cfg, splits=['train'])
    loaders = [loader for source in find_sources(cfg, 'train') if (loader := source.loads('LoadBands'))]
    bands = loaders[0].get('shown') if loaders else None
    for path in browse(cfg, folder, arguments.num, bands):
        print(path, flush=True)
    return 0
