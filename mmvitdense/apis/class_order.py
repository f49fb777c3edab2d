"""Classes of official files that are in another order than in the data set of a config."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmengine.logging import print_log
from torch import Tensor, nn

_ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68, 77),
    *(79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145),
)
"""What is stuff of the 150 classes, in the order of ADE20K's scene parsing (`stuff_classes` of the configs in
`configs/dinov2/ade20k/panoptic` of tue-mps/eomt)."""
_NUM_ADE20K = 150
_CLASSES = re.compile(r'^(backbone\.head\.|neck\.0\.([\w.]+\.)?)cls_embed\.')


def in_order_of_model(weights: Mapping[str, Tensor], model: nn.Module, source: object) -> dict[str, Tensor]:
    """Put the classes of a mask transformer into the order of the data that a panoptic model is for.

    The official code has the 150 classes of ADE20K as they are numbered, things and stuff mixed; mmdet's panoptic data
    and its heads have the 100 things before the 50 stuff classes.

    Args:
        weights: Those of an official file, converted.
        model: The model that they are for.
        source: The file, for the log.
    """
    head = getattr(model, 'panoptic_head', None)
    counts = tuple(getattr(head, f'num_{kind}_classes', None) for kind in ('things', 'stuff'))
    layers = [name for name in weights if _CLASSES.match(name)]
    if counts != (_NUM_ADE20K - len(_ADE20K_STUFF), len(_ADE20K_STUFF)) or not layers:
        return dict(weights)
    things = [number for number in range(_NUM_ADE20K) if number not in _ADE20K_STUFF]
    order = [*things, *_ADE20K_STUFF, _NUM_ADE20K]  # the last one is 'no object'
    print_log(f'{source}: the 150 classes of ADE20K are put into the order of the config', logger='current')
    return {**weights, **{name: weights[name][order] for name in layers}}
