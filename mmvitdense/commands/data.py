"""Say what a folder of data is, what is wrong with it, and make it ready for training.

Known are COCO, LVIS, COCO panoptic, Pascal VOC, YOLO, LabelMe, CVAT, folders of images and label maps, Cityscapes
(semantic and panoptic) and ADE20K. Nothing that is given is ever changed. The exit code is 2 where something has to be
mended first; the last line says what.
"""

from __future__ import annotations

import argparse

EXAMPLE = 'mmvitdense data my_photos --convert data/mine --write-config mine.py --model vitdet-b-dinov3'
_TASKS = ('detection', 'instance', 'semantic', 'panoptic')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('paths', nargs='+', metavar='PATH', help='folders with data, or files of annotations')
    parser.add_argument('--task', choices=_TASKS, help='what is to be learnt (default: the most that the data has)')
    parser.add_argument('--format', metavar='NAME', help='take it for this format, such as voc, yolo, coco, masks')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='names of the classes in their order')
    parser.add_argument('--table', metavar='FILE', help='which value or colour of label maps is which class')
    parser.add_argument(
        '--background',
        choices=('class', 'ignore'),
        default='class',
        help='whether the background of label maps is a class, or is left out of training and scores (default: class)',
    )
    parser.add_argument('--check-images', choices=('sample', 'all'), default='sample', help='which images to decode')
    parser.add_argument('--report', metavar='FILE.html', help='write pictures, histograms and tables into one file')
    parser.add_argument('--json', action='store_true', help='print plain data, for programs')
    parser.add_argument('--convert', metavar='DIR', help='write the data as COCO or ADE20K has it into a new folder')
    parser.add_argument('--copy', action='store_true', help='copy images there, in the place of links to them')
    parser.add_argument(
        '--leave-out', action='store_true', help='convert without the images and objects that are wrong'
    )
    parser.add_argument(
        '--val-share', type=float, default=0.2, metavar='X', help='share to score where nothing says (default: 0.2)'
    )
    parser.add_argument('--resplit', action='store_true', help='choose the images to score anew, by their bytes')
    parser.add_argument('--write-config', metavar='FILE.py', help='write a config for training')
    parser.add_argument(
        '--model', metavar='NAME', help='of which model, such as vitdet-b-dinov3 or a config of the zoo'
    )


def run(arguments: argparse.Namespace) -> int:
    """Look, print, convert, write."""
    from mmvitdense.apis.own_data.command import run_command

    return run_command(arguments)
