"""Show what a model sees in an image, a folder of images, a video or a camera.

Of images, writes DIR/vis/<image>.png, DIR/predictions.json and, for segmentation, DIR/labels/<image>.png. Of a folder
all files are taken that are images by their content; hidden ones are left out, links followed. Images that cannot be
read or predicted for are skipped, named and counted at the end; the exit code is then 1. Of a video or camera, writes
DIR/<name>.mp4 and DIR/<name>.jsonl with one line for each frame. After Ctrl-C the exit code is 130, and what was done
until then is written.
"""

from __future__ import annotations

import argparse

from mmvitdense.apis.arguments import add_cfg_options, add_refetch

EXAMPLE = (
    'mmvitdense predict photos mmvitdense::quickstart/vitdet-tiny_mask-rcnn_shapes.py iter_600.pth --out-dir outputs'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        'input',
        help='an image, a folder (with its subfolders), a pattern such as "photos/*.jpg", the http(s) address of an '
        'image, a video, the number of a camera, or the address of a stream',
    )
    parser.add_argument('model', help='a name of the zoo, a config file, or a checkpoint of a run')
    parser.add_argument(
        'weights', nargs='?', help='its weights, a file or an http(s) address (default: those published)'
    )
    parser.add_argument('--out-dir', default='outputs', metavar='DIR', help='where to write (default: outputs)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU if there is one)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of a box (default: 0.3)')
    parser.add_argument(
        '--batch-size', type=int, default=1, metavar='N', help='images that go through the model at once (default: 1)'
    )
    parser.add_argument(
        '--precision', choices=['float32', 'bfloat16'], default='float32', help='of the model (default: float32)'
    )
    parser.add_argument(
        '--tiles', type=int, metavar='PIXELS', help='cut large images into squares of this size, for small objects'
    )
    parser.add_argument('--no-pictures', action='store_true', help='write numbers alone')
    parser.add_argument('--polygons', action='store_true', help='write masks as polygons, not as run lengths')
    parser.add_argument('--coco', metavar='FILE.json', help="write detections in COCO's results format too")
    parser.add_argument(
        '--coco-ids', metavar='FILE.json', help="COCO's annotation file that gives the ids of images and categories"
    )
    parser.add_argument('--max-frames', type=int, metavar='N', help='frames of a video or camera (default: all)')
    add_cfg_options(parser)
    add_refetch(parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict and write."""
    from mmvitdense.apis.demo import run_demo
    from mmvitdense.apis.freed_memory import keep_freed_memory

    keep_freed_memory()
    return run_demo(
        arguments.input,
        arguments.model,
        arguments.weights,
        out_dir=arguments.out_dir,
        device=arguments.device,
        score_thr=arguments.score_thr,
        cfg_options=arguments.cfg_options,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
        tiles=arguments.tiles,
        pictures=not arguments.no_pictures,
        polygons=arguments.polygons,
        coco=arguments.coco,
        coco_ids=arguments.coco_ids,
        max_frames=arguments.max_frames,
    )
