"""Train a detector or a segmentor."""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_precision, add_run_arguments, join_amp, take_local_rank

EXAMPLE = 'mmvitdense train mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py --work-dir runs/first'
prepare = join_amp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('config', help='a config file, a name of the zoo, or mmvitdense::vitdet/NAME.py')
    parser.add_argument(
        'fragments',
        nargs='*',
        metavar='FRAGMENT',
        help='config files whose fields are merged into it, such as mmvitdense::_base_/fsdp.py',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH|auto',
        help='go on from a checkpoint; without a path, from the latest in the work dir',
    )
    add_precision(parser)
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size of this run'
    )
    parser.add_argument(
        '--max-bad-images',
        type=int,
        metavar='N',
        help='train although N images cannot be read: others take their places (default: 1 %% of those that the check '
        'before the run did not see)',
    )
    parser.add_argument(
        '--auto',
        action='store_true',
        help='adapt batch, accumulation, rate, schedule and precision to this machine and the data, except for what '
        '--cfg-options give; what was changed is printed',
    )
    parser.add_argument('--plan', action='store_true', help='print what the run would do and take, and stop')
    parser.add_argument(
        '--no-probe', dest='probe', action='store_false', help='--auto and --plan without trying a few steps first'
    )
    parser.add_argument(
        '--tensorboard', action='store_true', help='write the curves for TensorBoard too, in WORK_DIR/TIME/vis_data'
    )
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    from mmvitdense.apis.train import train_model

    take_local_rank(arguments)
    train_model(
        arguments.config,
        work_dir=arguments.work_dir,
        resume=arguments.resume,
        amp=arguments.amp,
        tf32=arguments.tf32,
        auto_scale_lr=arguments.auto_scale_lr,
        cfg_options=arguments.cfg_options,
        launcher=arguments.launcher,
        check_images=arguments.check_images,
        max_bad_images=arguments.max_bad_images,
        auto=arguments.auto,
        plan=arguments.plan,
        probe=arguments.probe,
        fragments=arguments.fragments,
        tensorboard=arguments.tensorboard,
    )
    return 0
