"""Checks of LVIS, whose data sets and metric in mmdet read their file in a way of their own."""

from __future__ import annotations

import numpy as np

from .coco_file import CocoFile
from .coco_masks import SCORED_FAULTS
from .detection import Reader
from .outlines import check_outlines, name_faults
from .paths import check_file, check_inside, check_root, evaluators
from .source import DataSource, type_name


def check_lvis(source: DataSource, cfg: dict, read: Reader) -> str:
    """Check the values of the file and the masks that are decoded, and return what the file holds.

    Args:
        source: A data set of LVIS.
        cfg: The whole config.
        read: Reads an annotation file, or returns what it read before.

    Raises:
        DataError: A value is not what the format says, or a mask would end the run.
    """
    check_root(source, cfg)
    file = read(check_file(source, 'ann_file'))
    check_inside(source, source.prefix('img') or '.', file.file_names, file.path)
    check_outlines(source, file, [item['name'] for item in file.categories])
    if source.split != 'train':
        _check_truth(source, cfg, read)
    return f'{len(file.image_ids)} images, {len(file.boxes)} objects of {len(file.categories)} classes'


def _check_truth(source: DataSource, cfg: dict, read: Reader) -> None:
    for key, metric in evaluators(cfg, source.split):
        path = metric.get('ann_file')
        if type_name(metric) != 'LVISMetric' or not path or '://' in path or 'segm' not in str(metric.get('metric')):
            continue
        truth: CocoFile = read(path)
        everything = np.ones(len(truth.boxes), dtype=bool)
        name_faults(truth, everything, f'{key}.ann_file', allowed=SCORED_FAULTS, share=1.0)
