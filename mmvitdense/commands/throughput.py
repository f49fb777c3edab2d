"""Measure how many images a second the model of a config predicts or trains on, and where the time goes.

Images are noise in memory, or files that are read before: what is timed is the model with its preprocessing and what
follows its heads, not reading and augmentation. Each size of batches has some rounds to warm up; then the median of
the rounds counts, with the slowest and the fastest beside it. Shares of the parts are those of one more round.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options, add_precision, add_refetch, join_amp

EXAMPLE = 'mmvitdense throughput mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py --size 256 256 --batch 1 4'
prepare = join_amp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, a name of the zoo, or mmvitdense::vitdet/NAME.py')
    parser.add_argument(
        'weights', nargs='?', help='its weights, a file or an address (default: random ones, nothing is fetched)'
    )
    parser.add_argument('--images', nargs='+', metavar='FILE', help='predict these instead of noise')
    parser.add_argument('--training', action='store_true', help='measure whole steps of the training, on noise')
    parser.add_argument(
        '--batch',
        type=int,
        nargs='+',
        default=[1],
        metavar='N',
        help='images of a batch, one or more sizes (default: 1)',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the noise (default: that of the config's tests)",
    )
    parser.add_argument(
        '--objects',
        type=int,
        default=7,
        metavar='N',
        help='objects of an image of the training (default: 7, as in COCO)',
    )
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    add_precision(parser)
    parser.add_argument('--threads', type=int, metavar='N', help="threads on a CPU (default: torch's choice)")
    parser.add_argument('--warm-up', type=int, default=3, metavar='N', help='rounds that do not count (default: 3)')
    parser.add_argument('--rounds', type=int, default=10, metavar='N', help='rounds that count (default: 10)')
    parser.add_argument('--json', action='store_true', help='print plain data, for programs')
    add_cfg_options(parser)
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    import json

    from mmvitdense.apis.throughput import as_data, as_table, model_speed

    speed = model_speed(
        arguments.config,
        arguments.weights,
        images=arguments.images,
        size=arguments.size and tuple(arguments.size),
        batches=arguments.batch,
        training=arguments.training,
        objects=arguments.objects,
        device=arguments.device,
        amp=arguments.amp,
        tf32=arguments.tf32,
        threads=arguments.threads,
        warm_up=arguments.warm_up,
        rounds=arguments.rounds,
        cfg_options=arguments.cfg_options,
    )
    print(json.dumps(as_data(speed), indent=2) if arguments.json else as_table(speed))
    return 0
