"""Write one page of a training: plan, curves, scores of classes, mistakes, worst images.

The best checkpoint of the work dir is evaluated for it once; --checkpoint none leaves that out.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'mmvitdense report work_dirs/mine --compare work_dirs/before'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('work_dir', metavar='WORK_DIR', help='the work dir of a training')
    parser.add_argument(
        '--compare', nargs='+', default=(), metavar='WORK_DIR', help='other trainings, whose curves are drawn over it'
    )
    parser.add_argument(
        '--out',
        metavar='FILE.html',
        help='the page, with plots in a folder of its name (default: WORK_DIR/report.html)',
    )
    parser.add_argument(
        '--checkpoint',
        default='best',
        metavar='best|last|none|FILE',
        help='what to evaluate (default: best, or the newest where no best one was saved)',
    )
    parser.add_argument(
        '--results', metavar='FILE.pkl', help='predictions of `mmvitdense test --out`, in the place of a checkpoint'
    )
    parser.add_argument('--config', help='a config in the place of that in the work dir')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='lowest score of a box that is drawn or confused (default: 0.3)'
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and write."""
    from mmvitdense.apis.run_report import report_run

    path = report_run(
        arguments.work_dir,
        arguments.out,
        arguments.compare,
        arguments.checkpoint,
        arguments.results,
        arguments.config,
        arguments.score_thr,
    )
    print(f'Report: {path}; its plots: {path.with_suffix("")}')
    return 0
