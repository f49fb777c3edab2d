"""Pictures of what a test predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitdense.visualization.drawing import Artist, as_picture
from mmvitdense.visualization.picture_files import write_image


class ShowHook(Hook):
    """Draw labels and predictions of test images side by side, for mmdet and mmseg alike.

    Pictures are named by place in the test set and name of the image, so that images of the same name in different
    folders do not overwrite one another.

    Args:
        folder: Where the pictures go, as `<place>_<name>.png`.
        read_image: Gives the image at a place of the test set, as `as_picture` takes it.
        interval: Draw every n-th image.
        score_thr: Draw detections with at least this score.
    """

    def __init__(
        self,
        folder: str | Path,
        read_image: Callable[[Any, int], np.ndarray],
        interval: int = 1,
        score_thr: float = 0.3,
    ):
        self.folder = Path(folder)
        self.read_image = read_image
        self.interval = interval
        self.score_thr = score_thr
        self._count = 0

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Draw those images of the batch whose turn it is."""
        dataset = runner.test_dataloader.dataset
        artist = Artist(dataset.metainfo.get('classes') or (), dataset.metainfo.get('palette'))
        for sample in outputs or ():
            place = self._count * get_world_size() + get_rank()
            self._count += 1
            # With several processes the sampler repeats images at the end, so that all have the same number.
            if place % self.interval == 0 and place < len(dataset):
                image = as_picture(self.read_image(dataset, place))
                picture = artist.side_by_side(image, sample, self.score_thr)
                write_image(self.folder / _name(sample, place), picture)


def _name(sample: Any, place: int) -> str:
    path = sample.get('img_path')
    return f'{place:06d}_{Path(path).stem[-200:]}.png' if isinstance(path, (str, Path)) else f'{place:06d}.png'
