"""Bad inputs as data: checkpoints, annotation files, masks, images, arguments and outputs, each with its one line."""

from __future__ import annotations

from .bad_annotations import BAD_ANNOTATIONS
from .bad_arguments import BAD_ARGUMENTS
from .bad_checkpoints import BAD_CHECKPOINTS
from .bad_images import BAD_IMAGES
from .place import BadInput, train

BAD_INPUTS: list[BadInput] = [
    BadInput('no-config', 'train', ['none.py'], r'The config none\.py does not exist'),
    BadInput('missing-load-from', 'train', train('load_from=none.pth'), r'none\.pth does not exist'),
    *BAD_ANNOTATIONS,
    *BAD_CHECKPOINTS,
    *BAD_IMAGES,
    *BAD_ARGUMENTS,
]
