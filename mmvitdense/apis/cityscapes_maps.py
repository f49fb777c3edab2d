"""The label maps that Cityscapes is trained on, from those that are published."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmvitdense.progress import progress
from mmvitdense.whole_files import written_whole

_TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Labels of the classes 0 to 18 (`cityscapesscripts/helpers/labels.py`); all others are ignored, 255."""
_ENDS = ('_labelIds.png', '_labelTrainIds.png')


def write_train_ids(folder: Path) -> int:
    """Write `*_labelTrainIds.png` beside each `*_labelIds.png` below a folder, where there is none yet.

    Returns:
        How many were written.
    """
    table = np.full(256, 255, np.uint8)
    table[[*_TRAINED]] = np.arange(len(_TRAINED))
    labels = sorted(folder.rglob(f'*{_ENDS[0]}'))
    targets = [(path, path.with_name(path.name.replace(*_ENDS))) for path in labels]
    missing = [(path, target) for path, target in targets if not target.exists()]
    for path, target in progress(missing, 'maps of the trained classes'):
        encoded = cv2.imencode('.png', table[cv2.imread(str(path), cv2.IMREAD_UNCHANGED)])[1]
        with written_whole(target) as temporary:
            Path(temporary).write_bytes(encoded.tobytes())
    return len(missing)
