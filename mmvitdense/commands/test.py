"""Evaluate a detector or a segmentor."""

from __future__ import annotations

import argparse
import os

from mmvitdense.apis.arguments import add_precision, add_run_arguments, join_amp, take_local_rank

EXAMPLE = (
    'mmvitdense test mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py iter_600.pth --json metrics.json '
    '--show-dir pictures'
)
prepare = join_amp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, a name of the zoo, or mmvitdense::vitdet/NAME.py')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='weights of that config, a file or an http(s) address (default: those that the zoo has for it)',
    )
    parser.add_argument(
        '--trunk', metavar='FILE', help='the ViT that the weights lack, or differ from (default: that of the config)'
    )
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions, as a pickle')
    parser.add_argument('--json', metavar='FILE.json', help='write the metrics and scores of classes')
    parser.add_argument(
        '--show-dir', metavar='DIR', help='write pictures: labels on the left, predictions on the right'
    )
    parser.add_argument('--show-interval', type=int, default=1, metavar='N', help='draw every N-th image (default: 1)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of a drawn box (default: 0.3)')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='predict several views of each image, by tta_pipeline and tta_model of the config; of a segmentor without '
        'them, by six sizes and their mirror images',
    )
    add_precision(parser)
    parser.add_argument(
        '--fuse',
        action='store_true',
        help='on a CPU, predict by a faster copy of the model, within 1e-5 of its outputs',
    )
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the metrics."""
    from mmvitdense.apis.freed_memory import keep_freed_memory
    from mmvitdense.apis.test import evaluate_model

    keep_freed_memory()
    take_local_rank(arguments)
    metrics = evaluate_model(
        arguments.config,
        arguments.checkpoint,
        work_dir=arguments.work_dir,
        out=arguments.out,
        json_file=arguments.json,
        show_dir=arguments.show_dir,
        show_interval=arguments.show_interval,
        score_thr=arguments.score_thr,
        cfg_options=arguments.cfg_options,
        launcher=arguments.launcher,
        check_images=arguments.check_images,
        tta=arguments.tta,
        trunk=arguments.trunk,
        amp=arguments.amp,
        tf32=arguments.tf32,
        fuse=arguments.fuse,
    )
    if int(os.environ.get('RANK', 0)) == 0:
        for name, value in metrics.items():
            print(f'{name}: {value:.4g}')
    return 0
